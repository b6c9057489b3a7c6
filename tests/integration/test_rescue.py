"""`rejected replay` with changes: what an operator knows makes a rejected reading storable."""

import json
from typing import Any

import psycopg
import pytest

from ingest_worker.write.sink import Sink
from tests.rights import API, role
from tests.sinks import VEHICLES, parts
from tests.workers import command

Database = psycopg.Connection[Any]
TIME = "2026-01-30T12:00:00Z"


def vehicle(device: str, **fields: Any) -> bytes:
    own = {"vehicleId": device, "soc": 50, "kwhDeliveredDc": 1.5, "batteryTemp": 20}
    return json.dumps({**own, "timestamp": TIME, **fields}).encode()


BAD = (
    vehicle("A", soc=65535),
    vehicle("B", soc=None, batteryTemp=-100),
    vehicle("C", timestamp="2027-01-30T12:00:00Z"),
    vehicle("D", soc="50", kwhDeliveredDc=-1),
)


@pytest.fixture
def environment(own_environment: dict[str, str], sink: Sink) -> dict[str, str]:
    """Four rejected readings, with the ids 1 to 4."""
    sink.flush(parts(*BAD, source=VEHICLES))
    topics = {"KAFKA_METER_TOPIC": "meters", "KAFKA_VEHICLE_TOPIC": "vehicles"}
    return {**own_environment, **topics}


def replay(environment: dict[str, str], *words: str) -> tuple[int, list[str]]:
    done = command(environment, "ingest_worker", "rejected", "replay", *words)
    return done.returncode, done.stdout.splitlines()


def stored(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT vehicle_id, soc, kwh_delivered_dc, battery_temp, to_char(\"timestamp\", 'HH24:MI')"
        " FROM vehicle_telemetry_history ORDER BY 1"
    ).fetchall()


def changes(database: Database) -> list[tuple[Any, ...]]:
    return database.execute(
        "SELECT changed, outcome FROM rejected_records WHERE resolved_at IS NOT NULL ORDER BY id"
    ).fetchall()


def totals(database: Database) -> tuple[Any, ...] | None:
    return database.execute(
        "SELECT stored, duplicate, rejected FROM ingest_offsets WHERE topic = 'vehicles'"
    ).fetchone()


def test_a_dropped_field_is_null_and_only_that_one(
    environment: dict[str, str], database: Database
) -> None:
    status, lines = replay(environment, "--all", "--drop", "soc", "--dry-run")
    assert status == 1
    assert lines[0] == (
        '1: stored: {"vehicleId": "A", "soc": null, "kwhDeliveredDc": 1.5, "batteryTemp": 20.0,'
        f' "timestamp": "{TIME}"}}'
    )
    assert lines[1].startswith("2: still rejected: invalid: ")
    assert "batteryTemp" in lines[1]
    assert lines[-1] == "would be stored: 1"
    assert stored(database) == []
    assert totals(database) == (0, 0, 4)

    status, lines = replay(environment, "--all", "--drop", "soc")
    assert lines[-1] == "stored: 1"
    assert replay(environment, "2", "--drop", "soc", "--drop", "batteryTemp")[0] == 0
    assert stored(database) == [("A", None, 1.5, 20, "12:00"), ("B", None, 1.5, None, "12:00")]
    assert changes(database) == [("drop soc", "stored"), ("drop soc, drop batteryTemp", "stored")]
    assert totals(database) == (2, 0, 2)


def test_values_units_and_times_are_mended(environment: dict[str, str], database: Database) -> None:
    assert replay(environment, "3", "--shift", "-31536000", "--unit", "Wh") == (0, ["stored: 1"])
    assert replay(environment, "4", "--set", "soc=5", "--set", "kwhDeliveredDc=2") == (
        0,
        ["stored: 1"],
    )
    assert stored(database) == [("C", 50, 0.0015, 20, "12:00"), ("D", 5, 2, 20, "12:00")]
    assert changes(database) == [
        ("unit Wh, shift -31536000 s", "stored"),
        ("set soc=5, set kwhDeliveredDc=2", "stored"),
    ]
    shown = command(environment, "ingest_worker", "rejected", "show", "3").stdout
    assert "changed:" in shown
    assert "shift -31536000 s" in shown
    as_json = command(environment, "ingest_worker", "rejected", "show", "3", "--json").stdout
    assert json.loads(as_json)["changed"] == "unit Wh, shift -31536000 s"


def test_what_a_rescue_makes_is_held_to_every_rule(
    environment: dict[str, str], database: Database
) -> None:
    assert replay(environment, "1", "--set", "soc=101")[0] == 1
    status, lines = replay(environment, "3", "--drop", "soc")
    assert (status, lines[-1]) == (1, "still rejected: in_future: 1")
    status, lines = replay(environment, "1", "--drop", "voltage")
    assert (status, lines[0]) == (1, "a vehicle's reading has no voltage")
    assert replay(environment, "1", "--drop", "soc")[0] == 0
    assert replay(environment, "1", "--set", "soc=5") == (0, ["stored: 1"])  # as it was
    assert replay(environment, "2", "--set", 'vehicleId="A"', "--drop", "batteryTemp")[0] == 1
    status, lines = replay(
        environment, "4", "--set", 'vehicleId="A"', "--set", "kwhDeliveredDc=1.5", "--drop", "soc"
    )
    assert (status, lines) == (0, ["duplicate: 1"])
    assert stored(database) == [("A", None, 1.5, 20, "12:00")]
    assert totals(database) == (1, 1, 2)


def test_with_salvage_a_replay_takes_what_a_worker_would(
    environment: dict[str, str], database: Database
) -> None:
    salvaging = {**role(environment, API), "SALVAGE_READINGS": "true"}
    status, lines = replay(salvaging, "--all")
    assert (status, lines[-1]) == (1, "stored: 2")
    assert changes(database) == [("drop soc", "stored"), ("drop soc, drop batteryTemp", "stored")]


def test_options_that_make_no_sense_end_in_one_line(environment: dict[str, str]) -> None:
    done = command(
        environment, "ingest_worker", "rejected", "replay", "--all", "--drop", "kwhDeliveredDc"
    )
    assert done.returncode == 2
    assert "'kwhDeliveredDc' is none of voltage, soc, batteryTemp" in done.stderr.splitlines()[-1]
