"""Packing days that are over: their keys are built anew, without the room a growing day leaves.

Every device grows at its own end of the key, and a page that is split there stays half empty: so
does the day's whole key. Built anew, a day takes a quarter less disk and memory; vacuumed, its
analytics are answered from the key alone. Readings and queries go on meanwhile.
"""

import logging
from datetime import date, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from ingest_worker.housekeeping.problems import Problems
from schemas.streams import STREAMS
from schemas.text import one_line
from sql.connect import Connection
from sql.day_tables import hurry
from sql.named import load

OVER_SINCE = timedelta(hours=1)
"""Readings are seldom later than this."""
DROP_WITHIN_S = 1
"""To drop an index holds everybody up while it waits."""
MAY_NOT = "its owner alone may pack it, and from PostgreSQL 17 on who was granted MAINTAIN"
QUERIES = load("days")

log = logging.getLogger(__name__)


def pack_day(connection: Connection, now: datetime) -> str | None:
    """Pack one day partition that is over and at rest, if there is one; returns its name.

    At rest is what hardly grew since the last call. Wants autocommit; raises DutyFailedError while
    there are days that could not be packed when they were last tried; they hold up no other. What
    an interrupted run left behind is removed by the next.
    """
    problems = Problems(connection)
    packed = None
    for stream in STREAMS.values():
        names = {"history": stream.history_table, "before": (now - OVER_SINCE).date()}
        with problems.of(stream.history_table):
            may: Any = connection.execute(QUERIES["may_pack"], names).fetchone()
            if not may[0]:
                problems.add(f"{stream.history_table}: {MAY_NOT}")
                continue
            if packed is None:
                row: Any = connection.execute(QUERIES["next_to_pack"], names).fetchone()
                packed = row and _try_to_pack(connection, names, *row)
            for day, why in connection.execute(QUERIES["failed"], names).fetchall():
                problems.add(f"{stream.history_table} of {day}: {why}")
    problems.raise_any()
    return packed


def _try_to_pack(
    connection: Connection, names: dict[str, Any], space: str, name: str, day: date, key: str
) -> str | None:
    """Pack a day, or note why that fails; returns its name once it is packed."""
    names = names | {
        "day": day,
        "partition": sql.Identifier(space, name).as_string(),
        "key": sql.Identifier(space, key).as_string(),
    }
    try:
        _pack(connection, names)
    except psycopg.Error as error:
        if connection.closed:
            raise
        connection.execute(QUERIES["note_failed"], names | {"why": one_line(error)})
        return None
    return name


def _pack(connection: Connection, names: dict[str, Any]) -> None:
    connection.execute(QUERIES["note_try"], names)
    with connection.transaction():
        hurry(connection, lock_s=DROP_WITHIN_S, statement_s=0)
        connection.execute(QUERIES["drop_half_built"], names)
    connection.execute(QUERIES["pack"].format(key=sql.SQL(names["key"])))
    connection.execute(QUERIES["vacuum"].format(partition=sql.SQL(names["partition"])))
    row: Any = connection.execute(QUERIES["note_packed"], names).fetchone()
    fields = {"day": names["partition"], "bytes": row[0]}
    log.info("packed %s: its key takes %d bytes", names["partition"], row[0], extra=fields)
