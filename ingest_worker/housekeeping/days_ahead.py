"""Making the next days' partitions ahead of time; noticing day tables that are in no history."""

from datetime import datetime

from ingest_worker.housekeeping.problems import Problems
from ingest_worker.write.known_days import KnownDays
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from schemas.streams.times import DAY_US, to_micros
from sql.connect import Connection
from sql.day_tables import day_tables
from sql.store import day_date

DAYS_AHEAD = 3


def make_days(connection: Connection, now: datetime) -> None:
    """Have a partition for today and the next days.

    Raises psycopg.Error, or DutyFailedError when a day has none, and while there are tables of a
    day's name that are not attached.
    """
    problems = Problems(connection)
    for stream in STREAMS.values():
        with problems.of(stream.history_table):
            _make_days(connection, stream, now, problems)
            _find_detached(connection, stream, problems)
    problems.raise_any()


def _make_days(connection: Connection, stream: Stream, now: datetime, problems: Problems) -> None:
    today = to_micros(now) // DAY_US
    known = KnownDays(stream)
    unavailable = known.ensure(connection, set(range(today, today + DAYS_AHEAD + 1)))
    for why in unavailable.values():
        problems.add(why)
    for day, partition in known.partitions.items():
        if partition.how == "default":
            problems.add(
                f"{partition.name}, the DEFAULT partition of {stream.history_table}, holds rows of"
                f" {day_date(day)}, which therefore has no partition of its own: move them"
            )


def _find_detached(connection: Connection, stream: Stream, problems: Problems) -> None:
    history = stream.history_table
    for table in day_tables(connection, history):
        if table.state == "detached" and not table.announced:
            problems.add(
                f"{table.name} is not attached to {history}, its rows are in no history: attach it,"
                " or give it another name"
            )
