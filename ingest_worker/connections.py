"""A process's connections to PostgreSQL, and cutting them off when it must end.

A thread that waits for a server which hangs cannot be stopped in another way. When its connection
is cut off, its call raises.
"""

import weakref
from collections.abc import Mapping

import psycopg

from sql.connect import NOTHING_ELSE, Connection, connect, cut


class Connections:
    """Opens connections and remembers them for as long as they live."""

    def __init__(self) -> None:
        self._opened: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._ended = False

    def open(self, where: str, session: Mapping[str, str] = NOTHING_ELSE) -> Connection:
        """A new autocommit connection, as `sql.connect.connect` makes it. Raises what that does."""
        if self._ended:
            raise psycopg.OperationalError("this process is about to end")
        connection = connect(where, session)
        self._opened.add(connection)
        return connection

    def end(self) -> None:
        """Cut off all of them, and open no others."""
        self._ended = True
        for connection in list(self._opened):
            cut(connection)
