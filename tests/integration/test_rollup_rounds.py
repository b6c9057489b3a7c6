"""The rounds that keep the rollups: bounded, safe when killed, final once the readings are gone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.rows import class_row

from ingest_worker.connections import Connections
from ingest_worker.errors import DutyFailedError
from ingest_worker.housekeeping import rollups
from ingest_worker.housekeeping.retention import retire_days
from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from ingest_worker.housekeeping.rounds import do_rounds
from ingest_worker.write.sink import Sink
from tests.connections import connect
from tests.readings import vehicle_value
from tests.settings import settings_of
from tests.sinks import VEHICLES, open_sink, parts

DAY = datetime(2026, 1, 30, tzinfo=UTC)
NOW = DAY + timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
OF_NO_STEP = ("log_readings", "log_everything", "backlog", "set_made_by", "take_first_hours")
OLD_DAY = "vehicle_telemetry_history_2026_01_20"


@pytest.fixture
def sink(own_environment: dict[str, str]) -> Iterator[Sink]:
    with open_sink(own_environment, VEHICLES) as sink:
        yield sink


def reading(name: str, hour: float, kwh: float = 1.0, day: int = 30) -> bytes:
    return vehicle_value(name, datetime(2026, 1, day, tzinfo=UTC) + hour * HOUR, kwh)


class Hour(NamedTuple):
    """A vehicle's hour in the rollups."""

    vehicle: str
    hour: str
    readings: int
    energy: float


class Entry(NamedTuple):
    """An entry of the rollup log: from when, how long, whose."""

    first: str
    length: timedelta
    devices: list[str]


class Feed:
    """Flushes one batch after the other."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._next = sink, 0

    def __call__(self, *values: bytes) -> None:
        self._sink.flush(parts(*values, start=self._next, source=VEHICLES))
        self._next += len(values)


@pytest.fixture
def feed(sink: Sink) -> Feed:
    return Feed(sink)


def hours(database: psycopg.Connection[Any]) -> list[Hour]:
    rows = database.cursor(row_factory=class_row(Hour)).execute(
        "SELECT vehicle_id AS vehicle, to_char(hour, 'DD HH24') AS hour, readings,"
        " energy_outside::float8 AS energy FROM vehicle_hours ORDER BY 1, 2"
    )
    return rows.fetchall()


def entries(database: psycopg.Connection[Any]) -> list[Entry]:
    rows = database.cursor(row_factory=class_row(Entry)).execute(
        "SELECT to_char(first, 'DD HH24') AS first, past - first AS length, devices"
        " FROM rollup_log ORDER BY id"
    )
    return rows.fetchall()


def is_gone(database: psycopg.Connection[Any], partition: str) -> bool:
    row = database.execute("SELECT to_regclass(%s) IS NULL", (partition,)).fetchone()
    return row == (True,)


def test_a_flush_logs_each_hour_once_with_its_devices_from_the_first_reading_to_the_last(
    feed: Feed, database: psycopg.Connection[Any]
) -> None:
    feed(
        *(reading(name, 8 + minute / 60) for name in "BA" for minute in range(60)), reading("A", 9)
    )
    tick = timedelta(microseconds=1)
    assert entries(database) == [
        Entry("30 08", 59 * MINUTE + tick, ["A", "B"]),
        Entry("30 09", tick, ["A"]),
    ]


def test_late_readings_are_logged_and_repeated_ones_are_not(
    feed: Feed, database: psycopg.Connection[Any]
) -> None:
    feed(reading("A", 8))
    feed(reading("A", 3), reading("A", 8), reading("A", 8, kwh=2))
    assert [entry.first for entry in entries(database)] == ["30 08", "30 03"]


def test_a_round_brings_the_rollups_up_to_date(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8), reading("A", 8.5, 0.5), reading("A", 10))
    assert bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    assert hours(database) == [Hour("A", "30 08", 2, 1.5), Hour("A", "30 10", 1, 1.0)]
    assert backlog(database).entries == 0


def test_a_step_that_is_killed_is_done_again(
    feed: Feed,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(reading("A", 8), reading("B", 8))
    database.execute("INSERT INTO vehicles (vehicle_id, energy_reading) VALUES ('A', 'interval')")
    queries = rollups.queries(database)
    for name in queries:
        if name in OF_NO_STEP:
            continue
        with monkeypatch.context() as patch, connect(own_environment) as doomed:
            die = "SELECT pg_terminate_backend(pg_backend_pid())"
            changed = queries | {name: die}
            patch.setattr(rollups, "queries", lambda _, changed=changed: changed)
            with pytest.raises(psycopg.OperationalError):
                bring_up_to_date(doomed, settings_of(own_environment), NOW, 10)
        assert hours(database) == [] and backlog(database).entries == 2, name
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    assert [row.vehicle for row in hours(database)] == ["A", "B"]


def test_a_large_entry_is_taken_in_parts(
    feed: Feed,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(*(reading("A", hour) for hour in range(24)))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    database.execute("INSERT INTO vehicles (vehicle_id, energy_reading) VALUES ('A', 'register')")
    monkeypatch.setattr(rollups, "MAX_UNITS", 5)
    taken = 0
    while not bring_up_to_date(database, settings_of(own_environment), NOW, 0):
        taken += 1
    assert taken >= 5
    assert sum(row.energy for row in hours(database)) == 0


def test_whole_histories_wait_for_everything_else(
    feed: Feed,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(*(reading("A", hour) for hour in range(10)))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    database.execute("INSERT INTO vehicles (vehicle_id, energy_reading) VALUES ('A', 'register')")
    feed(reading("B", 3))
    monkeypatch.setattr(rollups, "MAX_UNITS", 1)
    assert not bring_up_to_date(database, settings_of(own_environment), NOW, 0)
    assert hours(database)[-1].vehicle == "B"


def test_another_energy_reading_of_the_deployment_redoes_everything(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8, 10), reading("A", 9, 12))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    bring_up_to_date(database, settings_of(own_environment, energy_reading="register"), NOW, 10)
    assert [row.energy for row in hours(database)] == [0, 2]


@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO register_exchanges (stream, device_id, exchanged_at)"
        " VALUES ('vehicle', 'A', '2020-01-01')",
        "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
        " VALUES ('M', 'A', '2026-01-28 01:00Z', '2026-01-28 02:00Z')",
    ],
)
def test_what_lies_before_all_readings_stops_nothing(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str], change: str
) -> None:
    database.execute(
        "INSERT INTO meters (meter_id) VALUES ('M');"
        " INSERT INTO vehicles (vehicle_id, energy_reading) VALUES ('A', 'register')"
    )
    settings = settings_of(own_environment)
    feed(reading("A", 8, 10))
    bring_up_to_date(database, settings, NOW, 10)
    database.execute(change.encode())
    feed(reading("A", 9, 12))
    assert bring_up_to_date(database, settings, NOW, 10)
    assert [(row.hour, row.energy) for row in hours(database)] == [("30 08", 0), ("30 09", 2)]


def test_nothing_stays_where_an_undone_correction_had_moved_the_oldest_reading(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    def corrected(change: str, seen: str) -> None:
        database.execute(
            f"{change}; INSERT INTO rollup_log (stream, devices, first, past)"
            " SELECT 'vehicle', '{A}', at, at + interval '1 hour' FROM"
            " (VALUES ('2026-01-30 08:00Z'::timestamptz),"
            " ('2026-01-20 08:00Z')) AS touched (at)".encode()
        )
        assert bring_up_to_date(database, settings_of(own_environment), NOW, 10)
        assert hours(database) == [Hour("A", seen, 1, 3.0)]

    feed(reading("A", 8, 3))
    window = "'vehicle', 'A', '2026-01-30 08:00Z'::timestamptz, '2026-01-30 09:00Z'::timestamptz"
    corrected(
        f"INSERT INTO corrected_stretches VALUES ({window}, '-240 hours', 1);"
        " INSERT INTO corrections"
        " (stream, device_id, first, past, action, shift_by, reason, made_by)"
        f" VALUES ({window}, 'shift', '-240 hours', '', '')",
        "20 08",
    )
    corrected("DELETE FROM corrected_stretches; DELETE FROM corrections", "30 08")


def test_what_older_code_writes_meanwhile_is_made_anew(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    """It says no edition, and works the log off by its own rules."""
    feed(reading("A", 8, 10))
    settings = settings_of(own_environment)
    bring_up_to_date(database, settings, NOW, 10)
    database.execute("UPDATE vehicle_hours SET energy_outside = 7")
    bring_up_to_date(database, settings, NOW, 10)
    assert [row.energy for row in hours(database)] == [10]


def test_a_whole_history_is_the_hours_that_have_readings_or_had(
    feed: Feed,
    database: psycopg.Connection[Any],
    own_environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    feed(*(reading("A", hour, day=day) for day, hour in ((20, 8), (20, 9), (30, 9))))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    database.execute(
        "DELETE FROM vehicle_telemetry_history WHERE \"timestamp\" = '2026-01-20 08:00Z'"
    )
    database.execute("CREATE TABLE redone (hour timestamptz, vehicle_id text)")
    note = "INSERT INTO redone SELECT * FROM units"
    changed = rollups.queries(database) | {"analyze_units": note}
    monkeypatch.setattr(rollups, "queries", lambda _: changed)
    bring_up_to_date(database, settings_of(own_environment, energy_reading="register"), NOW, 10)
    redone = database.execute("SELECT to_char(hour, 'DD HH24') FROM redone ORDER BY hour")
    assert redone.fetchall() == [("20 08",), ("20 09",), ("30 09",)]
    assert hours(database) == [Hour("A", "20 09", 1, 0.0), Hour("A", "30 09", 1, 0.0)]


def test_a_retired_day_keeps_its_rollups(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8, 3, day=20), reading("A", 8, 4, day=30))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    retired = retire_days(database, NOW, 5)
    assert OLD_DAY in retired
    database.execute("INSERT INTO vehicles (vehicle_id, energy_reading) VALUES ('A', 'register')")
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    assert hours(database) == [Hour("A", "20 08", 1, 3.0), Hour("A", "30 08", 1, 0.0)]
    days = database.execute("SELECT energy_outside FROM vehicle_days ORDER BY hour").fetchall()
    assert days == [(Decimal(3),), (Decimal(0),)]


def test_a_day_on_its_way_out_is_final_already(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8, 3, day=20))
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    with connect(own_environment) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT FROM vehicle_telemetry_history_2026_01_20")
        database.execute("SET lock_timeout = '200ms'")
        with pytest.raises(DutyFailedError, match="lock timeout"):
            retire_days(database, NOW, 5)
    feed(reading("A", 9, 3, day=30))
    database.execute(
        "INSERT INTO rollup_log (stream, devices, first, past)"
        " VALUES ('vehicle', '{A}', '2026-01-20Z', '2026-01-21Z')"
    )
    bring_up_to_date(database, settings_of(own_environment), NOW, 10)
    assert Hour("A", "20 08", 1, 3.0) in hours(database)


def test_housekeeping_takes_in_what_is_logged_before_a_day_goes(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8, 3, day=20), reading("A", 8, 4, day=30))
    assert do_rounds(settings_of(own_environment, retention_days=5), Connections(), NOW)
    assert hours(database) == [Hour("A", "20 08", 1, 3.0), Hour("A", "30 08", 1, 4.0)]
    assert is_gone(database, OLD_DAY)


def test_a_round_in_between_keeps_the_rollups_alone(
    feed: Feed, database: psycopg.Connection[Any], own_environment: dict[str, str]
) -> None:
    feed(reading("A", 8, 3, day=20))
    assert do_rounds(
        settings_of(own_environment, retention_days=5), Connections(), NOW, everything=False
    )
    assert hours(database) == [Hour("A", "20 08", 1, 3.0)]
    assert not is_gone(database, OLD_DAY)
