"""Live state is a device's newest reading; a time in the future yields to the next that is not."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest_worker.write.sink import Sink
from schemas.streams.times import ClockLimits, clock_limits
from tests.readings import meter_value
from tests.sinks import METERS, new_sink, parts
from tests.stored import books

Database = psycopg.Connection[Any]
NOW = datetime.now(UTC)
AHEAD = 3_000
"""Seconds: further than these tests take."""


def limits() -> ClockLimits:
    return clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=86_400)


def at(seconds: int) -> bytes:
    """A reading of so many seconds from now, which its energy tells."""
    return meter_value("A", NOW + timedelta(seconds=seconds), seconds + 100_000)


def flush(sink: Sink, start: int, *seconds: int) -> int:
    """Flush these readings; returns the next offset."""
    sink.flush(parts(*map(at, seconds), start=start, clock=limits))
    return start + len(seconds)


def live(database: Database) -> int:
    """The seconds from now that live state is of."""
    row = database.execute("SELECT kwh_consumed_ac FROM meter_live_state").fetchone()
    assert row is not None
    return int(row[0]) - 100_000


@pytest.fixture
def another(own_environment: dict[str, str]) -> Iterator[Sink]:
    """A sink that knows nothing of the devices."""
    sink = new_sink(own_environment)
    yield sink
    sink.close()


@pytest.mark.parametrize(
    ("flushes", "expected"),
    [
        ([[-10], [AHEAD]], AHEAD),
        ([[AHEAD], [-10]], -10),
        ([[-20], [AHEAD], [-10]], -10),
        ([[AHEAD], [AHEAD - 5]], AHEAD),
        ([[AHEAD], [-10], [-5]], -5),
        ([[AHEAD], [-10], [-15]], -10),
        ([[AHEAD, -10]], -10),
        ([[-10, AHEAD]], AHEAD),
        ([[AHEAD, -10, AHEAD + 5]], AHEAD + 5),
        ([[AHEAD, -10], [-5]], -5),
        ([[-20, -10], [-15]], -10),
    ],
)
def test_the_newest_wins_until_it_is_in_the_future(
    sink: Sink, database: Database, flushes: Sequence[Sequence[int]], expected: int
) -> None:
    start = 0
    for seconds in flushes:
        start = flush(sink, start, *seconds)
    assert live(database) == expected
    assert books(database).stored == start


def test_a_worker_that_has_not_seen_the_future_makes_it_yield(
    sink: Sink, another: Sink, database: Database
) -> None:
    start = flush(sink, 0, -30)
    another.take({METERS: 0})
    start = flush(another, start, AHEAD)
    assert live(database) == AHEAD
    database.execute("DELETE FROM rollup_log")
    flush(sink, start, -10)  # newer than all that this one knows
    assert live(database) == -10
    assert database.execute("SELECT late FROM rollup_log").fetchall() == [(True,)]


def test_a_worker_that_was_overtaken_unseen_calls_its_readings_late(
    sink: Sink, another: Sink, database: Database
) -> None:
    start = flush(sink, 0, -30)
    another.take({METERS: 0})
    start = flush(another, start, -10)
    database.execute("DELETE FROM rollup_log")
    flush(sink, start, -20)
    assert live(database) == -10
    assert database.execute("SELECT late FROM rollup_log").fetchall() == [(True,)]


@pytest.mark.parametrize("flushes", [[[AHEAD], [-10]], [[AHEAD, -10]], [[-60], [AHEAD, -10], [-5]]])
def test_what_live_state_yielded_from_is_still_known_as_the_newest(
    sink: Sink, another: Sink, database: Database, flushes: Sequence[Sequence[int]]
) -> None:
    start = 0
    for seconds in flushes:
        start = flush(sink, start, *seconds)
    database.execute("DELETE FROM rollup_log")
    another.take({METERS: 0})
    start = flush(another, start, -2)
    assert live(database) == -2
    assert database.execute("SELECT late FROM rollup_log").fetchall() == [(True,)]
    database.execute("DELETE FROM rollup_log")
    flush(another, start, AHEAD + 1)
    assert database.execute("SELECT late FROM rollup_log").fetchall() == [(False,)]
    row = database.execute("SELECT newest_at FROM meter_live_state").fetchone()
    assert row == (None,)


def test_reading_again_moves_nothing(sink: Sink, database: Database) -> None:
    start = flush(sink, 0, -30, AHEAD, -10)
    assert live(database) == -10
    start = flush(sink, start, -30, AHEAD, -10)
    start = flush(sink, start, AHEAD)
    flush(sink, start, -30)
    assert live(database) == -10
    assert books(database).stored == 3


def test_the_log_says_the_very_stretch_of_each_hour(sink: Sink, database: Database) -> None:
    """And whether the readings were newer than all others of their devices."""
    start = flush(sink, 0, -10_000, -9_999)
    flush(sink, start, -10_001)
    entries = database.execute("SELECT first, past, late FROM rollup_log ORDER BY id").fetchall()
    times = [NOW + timedelta(seconds=seconds) for seconds in (-10_001, -9_999)]
    tick = timedelta(microseconds=1)
    assert [late for _, _, late in entries] == [False] * (len(entries) - 1) + [True]
    assert max(past for _, past, _ in entries) == times[1] + tick
    assert entries[-1][:2] == (times[0], times[0] + tick)
