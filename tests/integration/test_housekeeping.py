"""The duties of housekeeping: each fails by itself, and every worker sees how all of them fare."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from prometheus_client import REGISTRY

from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.housekeeping import rounds
from ingest_worker.housekeeping.duties import DUTIES
from ingest_worker.housekeeping.oversight import STALE_AFTER_S, Oversight
from ingest_worker.housekeeping.rounds import do_rounds
from sql import connect as ours
from sql import locks
from tests.connections import connect
from tests.rights import where
from tests.settings import settings_of

NOW = datetime.now(UTC)
OLD_DAY = "meter_telemetry_history_2026_01_20"


class Workers:
    """What workers of one database do and show, one round or look at a time."""

    def __init__(self, environment: dict[str, str], **settings: Any) -> None:
        self.settings = settings_of(environment, **settings)
        self.connections = Connections()
        self.status = Status()
        self.oversight = Oversight(self.settings, self.connections, self.status)

    def round(self) -> rounds.Round | None:
        """What the side task does once."""
        return asyncio.run(
            rounds._one_round(self.settings, self.connections, self.oversight, everything=True)
        )

    @property
    def degraded(self) -> dict[str, str]:
        """What health says should be looked after."""
        ready, said = self.status.ready()
        assert not ready, "this test's status never starts"
        return dict(said.get("degraded", {}))


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"energy_ingest_{name}", labels)


def last_success(duty: str) -> float:
    found = gauge("housekeeping_last_success_timestamp_seconds", duty=duty)
    assert found is not None
    return found


def create_day(database: psycopg.Connection[Any], history: str) -> None:
    database.execute("SELECT create_day_partition(%s, '2026-01-20')", (history,))


def test_a_round_notes_when_each_duty_was_done(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    began = time.time() - 5
    workers = Workers(own_environment)
    assert workers.round()
    for duty in DUTIES:
        assert last_success(duty) > began
        assert gauge("housekeeping_failing", duty=duty) == 0
    assert workers.degraded == {}
    assert gauge("rollup_backlog_entries") == 0
    assert gauge("rollup_age_seconds") == 0


def test_what_fails_is_said_and_the_other_duties_go_on(
    own_environment: dict[str, str],
    database: psycopg.Connection[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    workers = Workers(own_environment, retention_days=5)
    for history in ("meter_telemetry_history", "vehicle_telemetry_history"):
        create_day(database, history)
    tomorrow = f"{NOW + timedelta(days=1):%Y_%m_%d}"
    for statement in (
        f"CREATE VIEW watched AS SELECT * FROM {OLD_DAY}",
        f"CREATE TABLE vehicle_telemetry_history_{tomorrow} (x int)",
        "ALTER TABLE rollup_log RENAME TO mislaid",
    ):
        database.execute(statement.encode())
    assert not workers.round(), "the backlog could not be read"
    database.execute("ALTER TABLE mislaid RENAME TO rollup_log")
    workers.round()
    workers.round()
    degraded = workers.degraded
    assert set(degraded) == {"housekeeping: days", "housekeeping: retention"}
    assert f"vehicle_telemetry_history_{tomorrow}" in degraded["housekeeping: days"]
    assert f"view watched depends on table {OLD_DAY}" in degraded["housekeeping: retention"]
    for duty in ("days", "retention"):
        assert gauge("housekeeping_failing", duty=duty) == 1
        assert caplog.text.count(f"degraded: housekeeping: {duty}:") == 1
    found = database.execute(
        "SELECT to_regclass('vehicle_telemetry_history_2026_01_20') IS NULL,"
        f" to_regclass('meter_telemetry_history_{tomorrow}') IS NOT NULL".encode()
    )
    assert found.fetchone() == (True, True)
    for statement in (
        "DROP VIEW watched",
        f"DROP TABLE vehicle_telemetry_history_{tomorrow}",
    ):
        database.execute(statement.encode())
    workers.round()
    assert workers.degraded == {}
    assert gauge("housekeeping_failing", duty="days") == 0


def test_a_day_that_cannot_be_packed_is_said_until_it_can(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    workers = Workers(own_environment)
    create_day(database, "meter_telemetry_history")
    create_day(database, "vehicle_telemetry_history")
    with connect(own_environment) as reader:
        reader.execute("BEGIN")
        reader.execute(f"LOCK TABLE {OLD_DAY} IN SHARE UPDATE EXCLUSIVE MODE".encode())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rounds, "LOCK_TIMEOUT_S", 1)
            for _ in range(3):
                workers.round()
        why = workers.degraded["housekeeping: packing"]
        assert "meter_telemetry_history of 2026-01-20: canceling statement due to lock" in why
        packed = database.execute("SELECT history FROM packed_days WHERE key_bytes > 0").fetchall()
        assert packed == [("vehicle_telemetry_history",)], "the other stream goes on"
    database.execute("UPDATE packed_days SET tried_at = tried_at - interval '2 hours'")
    workers.round()
    assert workers.degraded == {}


def test_a_worker_without_the_lock_shows_when_duties_were_done_but_no_backlog(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    workers = Workers(own_environment)
    assert workers.round()
    database.execute(
        "UPDATE housekeeping_duties SET last_success_at = '2026-11-01Z', why = 'broken',"
        " failing_since = '2026-11-02Z' WHERE duty = 'packing'"
    )
    assert locks.try_lock(database, locks.HOUSEKEEPING)
    assert workers.round() is None
    assert last_success("packing") == datetime(2026, 11, 1, tzinfo=UTC).timestamp()
    assert gauge("rollup_backlog_entries") is None
    assert gauge("rollup_age_seconds") is None
    assert workers.degraded == {"housekeeping: packing": "fails since 2026-11-02T00:00:00Z: broken"}


def test_a_lock_that_nobody_releases_is_seen_by_all(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    """A holder that hangs in a duty; a lock left behind on a pooler's backend looks the same."""
    assert do_rounds(settings_of(own_environment), Connections(), NOW)
    workers = Workers(own_environment)
    holder = ours.connect(where(own_environment))
    holder.execute("SET application_name = 'pooled'")
    assert locks.try_lock(holder, locks.HOUSEKEEPING)
    workers.round()
    assert workers.degraded == {}
    database.execute(
        "UPDATE housekeeping_duties SET tried_at = tried_at - %s * interval '1 second'",
        (STALE_AFTER_S,),
    )
    workers.round()
    (why,) = workers.degraded.values()
    assert f"process {holder.info.backend_pid} (pooled, connected at 20" in why
    assert "nothing was done since " in why
    holder.close()
    workers.round()
    assert workers.degraded == {}


def test_a_lock_that_was_held_before_any_round_is_seen_too(
    own_environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    workers = Workers(own_environment)
    workers.oversight._began -= STALE_AFTER_S
    assert locks.try_lock(database, locks.HOUSEKEEPING)
    workers.round()
    assert "nothing was done yet; process" in workers.degraded["housekeeping"]


def test_a_round_that_takes_long_is_reported_by_its_own_worker(
    own_environment: dict[str, str],
    database: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rounds, "LOOK_INTERVAL_S", 0.1)
    workers = Workers(own_environment)
    assert workers.round()
    aged = "UPDATE housekeeping_duties SET tried_at = tried_at - interval '1 hour'"

    async def story() -> None:
        with connect(own_environment) as holder:
            holder.execute("BEGIN")
            holder.execute("LOCK TABLE rollup_log IN ACCESS EXCLUSIVE MODE")
            working = asyncio.create_task(
                rounds._one_round(
                    workers.settings, workers.connections, workers.oversight, everything=True
                )
            )
            deadline = time.monotonic() + 20
            while "holds its lock" not in workers.degraded.get("housekeeping", ""):
                assert time.monotonic() < deadline
                database.execute(aged.encode())
                await asyncio.sleep(0.05)
            holder.execute("ROLLBACK")
            assert await working

    asyncio.run(story())
    assert workers.degraded == {}
