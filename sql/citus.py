"""Whether a connection leads to a database with Citus, for the few statements that differ there.

With Citus the histories and live states are spread over nodes by device id, all else is on the
coordinator, which processes connect to. `sql.distribute` makes it so.
"""

from typing import Any
from weakref import WeakSet

from psycopg import AsyncConnection, Connection

_with_citus: WeakSet[Connection[Any] | AsyncConnection[Any]] = WeakSet()


def note(connection: Connection[Any] | AsyncConnection[Any], found: bool) -> None:
    """What was found when the connection was made: whether its database has the extension."""
    if found:
        _with_citus.add(connection)


def has_citus(connection: Connection[Any] | AsyncConnection[Any]) -> bool:
    """Whether its database has Citus: its tables are distributed, or may be."""
    return connection in _with_citus
