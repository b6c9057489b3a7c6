"""Telling a pooler that gives out sessions from one that gives out transactions.

A pooler such as PgBouncer stands between us and PostgreSQL. Where it lends a backend for one
transaction only, the next transaction of a connection may meet another backend: session locks stay
behind on one that nobody owns, settings and temporary tables are lost. We depend on all of them.
"""

from threading import Event, Timer
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from sql.cutting import cut
from sql.errors import UnsuitableDatabaseError
from sql.named import load

ANSWERS_WITHIN_S = 2.0
"""A transaction that gets no backend for so long will get none before another session ends."""
ROUNDS = 10
"""A pooler that is busy may give our backend to somebody else in one of them, and give it back."""
STATEMENTS_ONLY = "transaction blocks not allowed"
"""What PgBouncer says where it lends backends for single statements."""
REFUSAL = (
    "PostgreSQL is reached through a pooler that gives connections out by transaction, which loses"
    " locks and settings; set its pool_mode to session, or connect to PostgreSQL itself"
)

Connection = psycopg.Connection[Any]


def refuse_pooler_of_transactions(ours: Connection, where: str, pid: int) -> None:
    """Raise UnsuitableDatabaseError if `ours` does not keep its backend between transactions.

    `ours` is an autocommit connection, `pid` the backend of its last transaction, `where` the
    connection string it came from. While another connection has a transaction open, both are asked
    which backend they have: where sessions are lent, `ours` stays the same, and is never the
    other's. A pooler that has no backend left makes the other one wait, which shows as much.
    """
    with psycopg.connect(where) as other:
        for _ in range(ROUNDS):
            theirs = _backend(other)
            if theirs == pid:
                raise UnsuitableDatabaseError(REFUSAL)
            mine = _backend(ours)
            if mine is None:
                raise psycopg.OperationalError("the pooler does not answer")
            if mine != pid:
                raise UnsuitableDatabaseError(REFUSAL)
            if theirs is None:
                return
            other.rollback()


def _backend(connection: Connection) -> int | None:
    """The backend of the connection's transaction; None when it got none in time, and is cut."""
    late = Event()

    def cut_off() -> None:
        late.set()
        cut(connection)

    query = load("connections")["backend"]
    timer = Timer(ANSWERS_WITHIN_S, cut_off)
    timer.start()
    try:
        cursor = connection.cursor(row_factory=tuple_row)
        row: Any = cursor.execute(query, prepare=False).fetchone()
    except psycopg.OperationalError as error:
        if late.is_set():
            return None
        if STATEMENTS_ONLY in str(error):
            raise UnsuitableDatabaseError(REFUSAL) from error
        raise
    finally:
        timer.cancel()
    return int(row[0])
