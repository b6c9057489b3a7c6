"""Days go when their time is over, whatever interrupts it, and the books still balance."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest_worker.housekeeping.retention import retire_days
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.workers import WorkerProcess, books, counted, wait_until

NOW = datetime.now(UTC)


@pytest.fixture
def filled(own_environment: dict[str, str]) -> dict[str, str]:
    """Readings of today and of 4, 5, 6 days ago, stored."""
    days = (0, 4, 5, 6)
    send(own_environment, *(meter_value("A", NOW - timedelta(days=day)) for day in days))
    with WorkerProcess(own_environment) as worker:
        wait_until(lambda: counted(own_environment)["stored"] == 4, "all were stored")
        worker.terminate()
    return own_environment


def days(connection: psycopg.Connection[Any]) -> set[str]:
    rows = connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'meter_telemetry_%'"
    )
    return {name[-10:] for (name,) in rows}


def day(ago: int) -> str:
    return (NOW - timedelta(days=ago)).strftime("%Y_%m_%d")


def test_old_days_are_retired_and_counted(filled: dict[str, str]) -> None:
    with connect(filled) as connection:
        assert len(retire_days(connection, NOW + timedelta(hours=2), 3)) == 3
        assert not days(connection) & {day(4), day(5), day(6)}
        assert day(0) in days(connection)
        assert retire_days(connection, NOW, 3) == []
    assert books(filled)["total"]["stored"] == 4


def test_a_detach_that_was_interrupted_is_finished(filled: dict[str, str]) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as reader, connect(filled) as connection:
        reader.execute("BEGIN")
        reader.execute(f"SELECT * FROM {partition}".encode())
        connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            retire_days(connection, NOW + timedelta(hours=2), 5)
        pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
        assert connection.execute(pending).fetchone() == (1,)
        assert books(filled)["total"]["stored"] == 4
        reader.execute("COMMIT")
        connection.execute("SET lock_timeout = '10s'")
        assert partition in retire_days(connection, NOW + timedelta(hours=2), 5)
    assert books(filled)["total"]["stored"] == 4


def test_a_detached_day_that_was_not_dropped_is_counted_and_dropped(
    filled: dict[str, str],
) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as connection:
        connection.execute(
            f"ALTER TABLE meter_telemetry_history DETACH PARTITION {partition}".encode()
        )
        assert books(filled)["total"]["stored"] == 4
        assert retire_days(connection, NOW, 30) == [partition]
        row = connection.execute("SELECT rows FROM retired_days").fetchone()
        assert row == (1,)
    assert books(filled)["total"]["stored"] == 4


def test_writing_goes_on_while_a_day_is_retired(filled: dict[str, str]) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as writer, connect(filled) as connection:
        writer.execute("BEGIN")
        writer.execute(
            f"INSERT INTO {partition} VALUES (1, %s, 1, 'LATE')".encode(),
            (NOW - timedelta(days=6),),
        )
        retiring = threading.Thread(
            target=retire_days, args=(connection, NOW + timedelta(hours=2), 5)
        )
        retiring.start()
        with connect(filled) as other:
            other.execute("SET lock_timeout = '5s'")
            other.execute("INSERT INTO meter_telemetry_history VALUES (1, %s, 1, 'NEW')", (NOW,))
        writer.execute("COMMIT")
        retiring.join()
        row = connection.execute("SELECT rows FROM retired_days").fetchone()
        assert row == (2,), "the row that was being written was counted too"


def test_a_reading_older_than_retention_brings_no_day_back(filled: dict[str, str]) -> None:
    with connect(filled) as connection:
        retire_days(connection, NOW + timedelta(hours=2), 3)
        send(filled, meter_value("B", NOW - timedelta(days=5)))
        with WorkerProcess({**filled, "RETENTION_DAYS": "3"}) as worker:
            wait_until(lambda: counted(filled)["rejected"] == 1, "it was rejected")
            worker.terminate()
        assert day(5) not in days(connection)
        row = connection.execute("SELECT reason FROM rejected_records").fetchone()
        assert row == ("too_old",)
