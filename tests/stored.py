"""What a sink has written, read back by name: history, the books, rejected readings."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import class_row

from tests.readings import meter_value


class Stored(NamedTuple):
    """A row of history."""

    device: str
    time: str
    kwh: float


class Books(NamedTuple):
    """The books of one partition."""

    next_offset: int
    read: int
    stored: int
    duplicate: int
    rejected: int


class Rejected(NamedTuple):
    """A rejected reading."""

    offset: int
    record_index: int | None
    reason: str
    raw: bytes | None = None


def reading(device: str, minute: int, kwh: float = 1.0, day: int = 30) -> bytes:
    """A meter's reading at 12:`minute` of a day of January 2026."""
    return meter_value(device, datetime(2026, 1, day, 12, minute, tzinfo=UTC), kwh)


def history(database: psycopg.Connection[Any]) -> list[Stored]:
    rows = database.cursor(row_factory=class_row(Stored)).execute(
        """SELECT meter_id AS device, to_char("timestamp", 'DD HH24:MI') AS time,
            kwh_consumed_ac AS kwh
        FROM meter_telemetry_history ORDER BY 1, 2"""
    )
    return rows.fetchall()


def books(database: psycopg.Connection[Any]) -> Books:
    """The books of the meters' partition."""
    row = database.cursor(row_factory=class_row(Books)).execute(
        "SELECT next_offset, read, stored, duplicate, rejected FROM ingest_offsets"
        " WHERE topic = 'meters'"
    )
    (found,) = row.fetchall()
    return found


def rejected(database: psycopg.Connection[Any], *, raw: bool = True) -> list[Rejected]:
    """The rejected readings in their order, with their bytes unless these do not matter."""
    rows = database.cursor(row_factory=class_row(Rejected)).execute(
        'SELECT "offset", record_index, reason, raw FROM rejected_records ORDER BY 1, 2'
    )
    return [row if raw else row._replace(raw=None) for row in rows]
