"""Days that are over are packed once, whatever interrupts it, and nothing in them changes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest_worker.errors import DutyFailedError
from ingest_worker.housekeeping.reindexing import OVER_SINCE, pack_day
from tests.connections import connect

DAY = datetime(2026, 1, 30, tzinfo=UTC)
AFTER = DAY + timedelta(days=1) + OVER_SINCE
PARTITION = "meter_telemetry_history_2026_01_30"
KEY = f"{PARTITION}_pkey"


@pytest.fixture
def database(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """Fifty devices of which each grows at its own end of the key, all day long."""
    with connect(own_environment) as connection:
        connection.execute(
            "SELECT create_day_partition('meter_telemetry_history', %s)", (DAY.date(),)
        )
        grow(connection, first=0, minutes=600)
        yield connection


def grow(connection: psycopg.Connection[Any], *, first: int, minutes: int) -> None:
    connection.execute(
        """INSERT INTO meter_telemetry_history
        SELECT 1, %s::timestamptz + minute * interval '1 minute', 230, 'MTR-' || device
        FROM generate_series(%s::int, %s::int) AS minute, generate_series(1, 50) AS device""",
        (DAY, first, first + minutes - 1),
    )
    connection.execute("SELECT pg_stat_force_next_flush()")


def key_bytes(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_relation_size(%s::regclass)", (KEY,)).fetchone()
    assert row
    return int(row[0])


def test_a_day_that_is_over_and_at_rest_is_packed_once(database: psycopg.Connection[Any]) -> None:
    before = key_bytes(database)
    rows = database.execute("SELECT count(*), sum(kwh_consumed_ac) FROM meter_telemetry_history")
    assert pack_day(database, AFTER - timedelta(seconds=1)) is None
    assert pack_day(database, AFTER) is None  # it may be growing
    assert pack_day(database, AFTER) == PARTITION
    assert key_bytes(database) < before * 0.7
    visible = "SELECT relallvisible = relpages FROM pg_class WHERE relname = %s"
    assert database.execute(visible, (PARTITION,)).fetchone() == (True,)
    again = database.execute("SELECT count(*), sum(kwh_consumed_ac) FROM meter_telemetry_history")
    assert again.fetchall() == rows.fetchall()
    assert pack_day(database, AFTER) is None


def test_a_day_that_grows_on_is_packed_again_when_it_rests(
    database: psycopg.Connection[Any],
) -> None:
    pack_day(database, AFTER)
    assert pack_day(database, AFTER) == PARTITION
    grow(database, first=600, minutes=600)
    assert pack_day(database, AFTER) is None
    assert pack_day(database, AFTER) is None  # tried within the hour
    database.execute("UPDATE packed_days SET tried_at = tried_at - interval '2 hours'")
    assert pack_day(database, AFTER) == PARTITION


def test_what_an_interrupted_run_left_behind_is_removed(
    database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    pack_day(database, AFTER)
    with connect(own_environment) as reader:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM meter_telemetry_history")
        database.execute("SET lock_timeout = '200ms'")
        with pytest.raises(DutyFailedError, match="lock timeout"):
            pack_day(database, AFTER)
        reader.execute("COMMIT")
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert database.execute(invalid).fetchone() == (1,)
    database.execute("UPDATE packed_days SET tried_at = tried_at - interval '2 hours'")
    assert pack_day(database, AFTER) == PARTITION
    assert database.execute(invalid).fetchone() == (0,)
