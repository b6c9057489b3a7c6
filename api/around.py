"""Finds the readings around a window that its figures rest on, so that few days are planned for.

They are looked for near by first: to plan for a month of day partitions takes longer than the rest.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from psycopg import sql

from api.database import Connection
from api.figures import Row
from schemas.analytics import Window
from sql.citus import has_citus
from sql.gathered import Spans, gathering

NEAR = timedelta(hours=2)


@asynccontextmanager
async def gathered(connection: Connection) -> AsyncIterator[None]:
    """On a Citus cluster a transaction, to gather readings in."""
    if not has_citus(connection):
        yield
        return
    async with connection.transaction():
        yield


async def gather(connection: Connection, spans: Spans, bounds: Row, **most: int) -> None:
    """Gather readings for the statements to come, where that is needed (`sql/gathered.py`)."""
    if has_citus(connection):
        for statement, parameters in gathering(spans, bounds, **most):
            await connection.execute(statement, parameters)


async def rows_around(
    connection: Connection,
    statement: sql.SQL,
    parameters: dict[str, Any],
    skew_s: float,
    spans: Spans,
) -> list[Row]:
    """The rows of a statement that includes `around`. No reading is ahead by more than `skew_s`.

    `spans` are what it looks around.
    """
    window = Window(parameters["start"], parameters["end"])
    near = {
        "base_start": max(window.base_start, window.start - NEAR),
        "reach_end": min(window.reach_end, window.end + NEAR),
    }
    near["ends"] = near["reach_end"] > parameters["now"] + timedelta(seconds=skew_s)
    await gather(connection, spans, parameters | near, within=0)
    found = await (await connection.execute(statement, parameters | near)).fetchall()
    if all(row["is_enough"] for row in found):
        return found
    await gather(connection, spans, parameters, within=0)
    return await (await connection.execute(statement, parameters | {"ends": False})).fetchall()


async def fetched(connection: Connection, statement: sql.SQL, parameters: Row) -> list[Row]:
    """The rows of a statement that is planned for the days it looks at.

    Prepared, it would soon get a plan for any days, which takes twice as long to run.
    """
    return await (await connection.execute(statement, parameters, prepare=False)).fetchall()


def bounds(window: Window, rows: list[Row], *sides: str) -> Row:
    """From where to where these rows say that readings matter, as parameters."""
    bases = [row[f"{side}base"] for row in rows for side in sides]
    reaches = [row[f"{side}reach"] for row in rows for side in sides]
    return {
        "base_start": min(base or window.start for base in bases),
        "reach_end": max(reach or window.end for reach in reaches),
    }
