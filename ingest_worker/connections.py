"""A process's connections to PostgreSQL, and cutting them off when it must end.

A thread that waits for a server which hangs cannot be stopped in another way. When its connection
is cut off, its call raises.
"""

import weakref

import psycopg

from sql.connect import Connection, cut


class Connections:
    """Opens connections and remembers them for as long as they live."""

    def __init__(self) -> None:
        self._opened: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._ended = False

    def open(self, conninfo: str) -> Connection:
        """A new connection in autocommit mode. Raises psycopg.OperationalError."""
        if self._ended:
            raise psycopg.OperationalError("this process is about to end")
        connection: Connection = psycopg.connect(conninfo, autocommit=True)
        self._opened.add(connection)
        return connection

    def end(self) -> None:
        """Cut off all of them, and open no others."""
        self._ended = True
        for connection in list(self._opened):
            cut(connection)
