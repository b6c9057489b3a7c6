"""Days go when their time is over, whatever interrupts it, and the books still balance."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from ingest_worker.errors import DutyFailedError
from ingest_worker.housekeeping.days_ahead import make_days
from ingest_worker.housekeeping.reindexing import pack_day
from ingest_worker.housekeeping.retention import retire_days
from ingest_worker.housekeeping.rollups import bring_up_to_date
from sql.citus import has_citus
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.rights import WORKER
from tests.settings import settings_of
from tests.workers import WorkerProcess, books, command, counted, wait_until

NOW = datetime.now(UTC)
EVENING = NOW.replace(hour=23, minute=59)
"""Of the same day, an hour or more after it began: readings of the day before have run out."""


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


def interrupt_retiring(
    connection: psycopg.Connection[Any],
    ago: int,
    step: str = "detached",
    reader: psycopg.Connection[Any] | None = None,
) -> None:
    """Leave a day as an interrupted retention does; `reader` is what it waits for when pending."""
    partition = f"meter_telemetry_history_{day(ago)}"
    announce = (
        "INSERT INTO retired_days (history, day, rows, announced)"
        " VALUES ('meter_telemetry_history', %s, 0, %s::text::regclass)"
    )
    connection.execute(announce, ((NOW - timedelta(days=ago)).date(), partition))
    how = "" if has_citus(connection) else "CONCURRENTLY"
    detach = f"ALTER TABLE meter_telemetry_history DETACH PARTITION {partition} {how}"
    if step == "pending":
        assert reader
        reader.execute("BEGIN")
        reader.execute(f"SELECT * FROM {partition}".encode())
        connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            connection.execute(detach.encode())
        reader.execute("COMMIT")
        connection.execute("SET lock_timeout = '10s'")
    elif step == "detached":
        connection.execute(detach.encode())


def test_old_days_are_retired_and_counted(filled: dict[str, str]) -> None:
    with connect(filled) as connection:
        assert len(retire_days(connection, EVENING, 3)) == 3
        assert not days(connection) & {day(4), day(5), day(6)}
        assert day(0) in days(connection)
        assert retire_days(connection, NOW, 3) == []
    assert books(filled)["total"]["stored"] == 4


def test_what_corrections_brought_in_goes_with_its_day(filled: dict[str, str]) -> None:
    brought_in = (
        'INSERT INTO meter_corrected_readings (meter_id, "timestamp", kwh_consumed_ac, rank)'
        " VALUES ('A', %s, 1, 1)"
    )
    with connect(filled) as connection:
        for ago in (2, 6):
            connection.execute(brought_in, (NOW - timedelta(days=ago),))
        retire_days(connection, EVENING, 3)
        left = "SELECT (\"timestamp\" AT TIME ZONE 'UTC')::date FROM meter_corrected_readings"
        assert connection.execute(left).fetchall() == [((NOW - timedelta(days=2)).date(),)]


@pytest.mark.no_citus
def test_a_detach_that_was_interrupted_is_finished(filled: dict[str, str]) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as reader, connect(filled) as connection:
        reader.execute("BEGIN")
        reader.execute(f"SELECT * FROM {partition}".encode())
        connection.execute("SET lock_timeout = '200ms'")
        with pytest.raises(DutyFailedError, match=f"{partition}: 55P03"):
            retire_days(connection, EVENING, 5)
        pending = "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"
        assert connection.execute(pending).fetchone() == (1,)
        assert books(filled)["total"]["stored"] == 4
        reader.execute("COMMIT")
        connection.execute("SET lock_timeout = '10s'")
        assert partition in retire_days(connection, EVENING, 5)
    assert books(filled)["total"]["stored"] == 4


def test_an_announced_day_that_was_not_dropped_is_counted_and_dropped(
    filled: dict[str, str],
) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as connection:
        interrupt_retiring(connection, 6)
        assert books(filled)["total"]["stored"] == 4
        assert retire_days(connection, EVENING, 5) == [partition]
        row = connection.execute("SELECT rows, announced FROM retired_days").fetchone()
        assert row == (1, None)
    assert books(filled)["total"]["stored"] == 4


@pytest.mark.parametrize("retention_days", [0, 30])
@pytest.mark.parametrize(
    "step", ["announced", pytest.param("pending", marks=pytest.mark.no_citus), "detached"]
)
def test_a_day_that_is_to_be_kept_after_all_comes_back(
    filled: dict[str, str], step: str, retention_days: int
) -> None:
    """The retention was interrupted, and then RETENTION_DAYS became longer, or 0."""
    with connect(filled) as reader, connect(filled) as connection:
        connection.execute("INSERT INTO vehicles (vehicle_id) VALUES ('V')")
        connection.execute("INSERT INTO vehicle_live_state VALUES (1, now(), now(), 50, 20, 'V')")
        interrupt_retiring(connection, 6, step, reader)
        assert retire_days(connection, NOW, retention_days) == []
        assert day(6) in days(connection)
        assert connection.execute("SELECT count(*) FROM retired_days").fetchone() == (0,)
        count = "SELECT count(*) FROM meter_telemetry_history"
        assert connection.execute(count).fetchone() == (4,)
        logged = "SELECT past - first, devices FROM rollup_log WHERE first < now() - interval '3 d'"
        assert (timedelta(days=1), ["V"]) in connection.execute(logged).fetchall()
    assert books(filled)["total"]["stored"] == 4


def test_a_table_that_retention_did_not_announce_is_never_dropped(
    filled: dict[str, str],
) -> None:
    """Detached by hand; restored after its day had been retired; and one of another shape."""
    with connect(filled) as connection:
        retire_days(connection, EVENING, 5)
        history = "meter_telemetry_history"
        statements = (
            f"ALTER TABLE {history} DETACH PARTITION {history}_{day(4)}",
            f"CREATE TABLE {history}_{day(6)} AS SELECT * FROM {history}",
            f"CREATE TABLE {history}_1999_12_31 ()",
            f"CREATE TABLE {history}_1999_02_30 ()",
        )
        for statement in statements:
            connection.execute(statement.encode())
        beside = f"{history}_{day(6)}, {history}_1999_12_31, {history}_1999_02_30"
        connection.execute(f"GRANT SELECT ON {beside} TO {WORKER}".encode())
        assert retire_days(connection, EVENING, 2)
        assert {day(4), day(6), "1999_12_31", "1999_02_30"} <= days(connection)
        with pytest.raises(DutyFailedError) as caught:
            make_days(connection, NOW)
        for name in (day(4), day(6), "1999_12_31"):
            assert f"{history}_{name} is not attached to {history}" in str(caught.value)
        assert "1999_02_30" not in str(caught.value)
    report = json.loads(command(filled, "ingest_worker", "reconcile", "--json").stdout)
    assert not report["balanced"], "a reading is in no history"
    assert {"table": f"{history}_{day(4)}", "rows": 1} in report["notAttached"]
    assert report["tables"]["stored"] == 3
    done = command(filled, "ingest_worker", "reconcile")
    assert f"not attached, so in no history: {history}_{day(4)} with 1 rows" in done.stdout


def test_a_day_that_cannot_be_dropped_holds_up_no_other(filled: dict[str, str]) -> None:
    with connect(filled) as connection:
        old = f"meter_telemetry_history_{day(6)}"
        connection.execute(f"CREATE VIEW watched AS SELECT * FROM {old}".encode())
        for ago in (6, 5):
            of_day = (NOW - timedelta(days=ago)).date()
            create = "SELECT create_day_partition('vehicle_telemetry_history', %s)"
            connection.execute(create, (of_day,))
        with pytest.raises(DutyFailedError, match=f"{old}.*view watched depends on table {old}"):
            retire_days(connection, EVENING, 3)
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_history_' ORDER BY 1"
        ).fetchall()
        expired = [name for (name,) in left if name[-10:] <= day(4)]
        assert expired == [old]
        assert books(filled)["total"]["stored"] == 4
        connection.execute("DROP VIEW watched")
        assert retire_days(connection, EVENING, 3) == [old]
    assert books(filled)["total"]["stored"] == 4


def test_partitions_of_no_day_stop_nothing(filled: dict[str, str]) -> None:
    """A DEFAULT partition, which forbids to detach CONCURRENTLY, one of a month, and odd names."""
    with connect(filled) as connection:
        history = "meter_telemetry_history"
        statements = (
            f"ALTER TABLE {history}_{day(5)} RENAME TO five_days_ago",
            f"CREATE TABLE rest PARTITION OF {history} DEFAULT",
            f"CREATE TABLE millennium PARTITION OF {history} FOR VALUES FROM (MINVALUE)"
            " TO ('2000-01-01Z')",
            f"CREATE TABLE {history}_2000_13_45 PARTITION OF {history}"
            " FOR VALUES FROM ('2000-02-01Z') TO ('2000-03-01Z')",
            f"CREATE TABLE future PARTITION OF {history} FOR VALUES FROM ('2100-01-01Z')"
            " TO (MAXVALUE)",
            f"INSERT INTO {history} VALUES (1, '1999-01-01Z', 1, 'A'), (1, '2000-01-02Z', 1, 'A')",
        )
        for statement in statements:
            connection.execute(statement.encode())
        make_days(connection, NOW)
        settings = settings_of(filled)
        assert bring_up_to_date(connection, settings, NOW, 10)
        pack_day(connection, NOW)
        assert pack_day(connection, NOW)
        with pytest.raises(DutyFailedError) as caught:
            retire_days(connection, EVENING, 3)
        assert str(caught.value).count("takes more than a day: it is not retired") == 2
        assert not days(connection) & {day(4), day(5), day(6)}
        row = connection.execute("SELECT to_regclass('five_days_ago')").fetchone()
        assert row == (None,)
        row = connection.execute(
            "SELECT sum(rows) FROM retired_days WHERE history = %s", (history,)
        )
        assert row.fetchone() == (3,)


@pytest.mark.no_citus
def test_writing_goes_on_while_a_day_is_retired(filled: dict[str, str]) -> None:
    partition = f"meter_telemetry_history_{day(6)}"
    with connect(filled) as writer, connect(filled) as connection:
        writer.execute("BEGIN")
        writer.execute(
            f"INSERT INTO {partition} VALUES (1, %s, 1, 'LATE')".encode(),
            (NOW - timedelta(days=6),),
        )
        retiring = threading.Thread(target=retire_days, args=(connection, EVENING, 5))
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
        retire_days(connection, EVENING, 3)
        send(filled, meter_value("B", NOW - timedelta(days=5)))
        with WorkerProcess({**filled, "RETENTION_DAYS": "3"}) as worker:
            wait_until(lambda: counted(filled)["rejected"] == 1, "it was rejected")
            worker.terminate()
        assert day(5) not in days(connection)
        row = connection.execute("SELECT reason FROM rejected_records").fetchone()
        assert row == ("too_old",)
