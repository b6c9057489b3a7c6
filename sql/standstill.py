"""One instant of a database that lies on several nodes, each of which has a snapshot of its own.

Citus has no snapshot of all its nodes. So positions are locked for some milliseconds, in which no
flush can commit, while a transaction takes its snapshot on each node. From then on it sees what
all of them held just then, and workers go on.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import psycopg
from psycopg import errors, sql

from schemas.streams import STREAMS
from sql.connect import Connection, connect
from sql.day_tables import hurry
from sql.named import load

QUERIES = load("positions")
LOCK_WITHIN_S = 2
"""Flushes queue up behind us while one that is under way is waited for."""
WITHIN_S = 90.0
"""Longer than Citus takes by default (a minute) to end what a lost node left prepared."""
PAUSE_S = 0.5


def snapshot_on_all_nodes(connection: psycopg.Connection[Any], where: str) -> None:
    """Have a transaction see on all nodes what they hold at one instant between two flushes.

    `connection` is at the start of a transaction, REPEATABLE READ; `where` is where it leads to.
    Raises psycopg.OperationalError when there is no such instant for WITHIN_S.
    """
    connection.execute(QUERIES["one_connection_a_node"])
    with connect(where, autocommit=False) as other, _standstill(other):
        for stream in STREAMS.values():
            live = sql.Identifier(stream.live_table)
            connection.execute(QUERIES["look"].format(live=live))


@contextmanager
def _standstill(connection: Connection) -> Iterator[None]:
    """While this lasts no flush commits, and all that did have done so on every node."""
    give_up_at = time.monotonic() + WITHIN_S
    while why := _why_moving(connection):
        connection.rollback()
        if time.monotonic() > give_up_at:
            _give_up(why)
        time.sleep(PAUSE_S)
    yield
    connection.rollback()


def _why_moving(connection: Connection) -> str | None:
    """Lock the positions; why that is not enough, or cannot be, None when it is."""
    hurry(connection, lock_s=LOCK_WITHIN_S, statement_s=0)
    try:
        connection.execute(QUERIES["lock_all"])
    except errors.LockNotAvailable:
        return f"somebody holds positions for longer than {LOCK_WITHIN_S} s"
    prepared: Any = connection.execute(QUERIES["prepared"]).fetchone()
    if prepared[0]:
        return f"{prepared[0]} transactions are committed on one node and not yet on another"
    return None


def _give_up(why: str) -> NoReturn:
    raise psycopg.OperationalError(
        f"cannot count at one instant: {why}, and that for {WITHIN_S:.0f} s"
    )
