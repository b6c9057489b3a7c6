"""Which tables hold the days of a history table, and which only look as if they did."""

from datetime import date, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from sql.named import load


class DayTable(NamedTuple):
    """A partition of a history table, or a table beside it that has the name of one."""

    schema: str
    name: str
    day: date | None
    """None when it takes no single day."""
    past: datetime | None
    """Where an attached one ends; None for the DEFAULT partition."""
    state: str
    """`attached`, `pending` (half detached) or `detached`."""
    announced: bool
    """Whether this very table is on its way out of history."""

    @property
    def identifier(self) -> sql.Identifier:
        """Its quoted name."""
        return sql.Identifier(self.schema, self.name)


def day_tables(connection: psycopg.Connection[Any], history: str) -> list[DayTable]:
    """All partitions of a history table, and the tables beside it that look like one."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(load("days")["list"], {"history": history}).fetchall()
    return [DayTable(*row) for row in rows]


def hurry(connection: psycopg.Connection[Any], *, lock_s: float, statement_s: float) -> None:
    """Until this transaction ends, let no lock and no statement take longer; 0 is for ever.

    What is done with days holds others up while it waits.
    """
    limits = {"lock_timeout": f"{lock_s}s", "statement_timeout": f"{statement_s}s"}
    words = {name: sql.Literal(limit) for name, limit in limits.items()}
    connection.execute(load("days")["hurry"].format(**words), prepare=False)
