"""How a fleet of the reference gets into PostgreSQL."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import psycopg

from tests.fleets import START
from tests.reference import Device, ReferenceFleet, Session
from tests.stored_corrections import correct

DAYS = range(-40, 4)
"""Days around START that have partitions."""
TABLES = {"meter": "meters", "vehicle": "vehicles"}
LIMITS = {"meter": "capacity_kw", "vehicle": "max_charge_kw"}
offsets = count(1)


def create_days(connection: psycopg.Connection[Any], days: Iterable[int] = DAYS) -> None:
    """The day partitions a random fleet needs."""
    for table in ("meter_telemetry_history", "vehicle_telemetry_history"):
        for day in days:
            connection.execute(
                "SELECT create_day_partition(%s, %s)", (table, (START + timedelta(days=day)).date())
            )


def load(
    connection: psycopg.Connection[Any],
    fleet: ReferenceFleet,
    prefix: str = "",
    topics: Mapping[str, str] | None = None,
) -> None:
    """Registers the devices, with `prefix` before their names; stores sessions and readings.

    `topics` names the one of each stream; without them nothing is rejected.
    """
    for stream, devices in (("meter", fleet.meters), ("vehicle", fleet.vehicles)):
        for name, device in devices.items():
            register(connection, stream, prefix + name, device)
            correct(connection, stream, prefix + name, device)
            if topics:
                reject(connection, topics[stream], prefix + name, device)
    start(connection, prefix, fleet.sessions)
    store(connection, fleet, prefix)


def start(connection: psycopg.Connection[Any], prefix: str, sessions: Iterable[Session]) -> None:
    connection.cursor().executemany(
        "INSERT INTO charging_sessions"
        " (meter_id, vehicle_id, started_at, ended_at, meter_start, meter_stop)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [(prefix + s.meter, prefix + s.vehicle, *s[2:]) for s in sessions],
    )


def register(
    connection: psycopg.Connection[Any], stream: str, device_id: str, device: Device
) -> None:
    """The device as it is, and its exchanges."""
    connection.execute(
        f"INSERT INTO {TABLES[stream]} ({stream}_id, energy_reading, report_seconds,"
        f" register_tolerance, register_modulus, {LIMITS[stream]})"
        " VALUES (%s, %s, %s, %s, %s, %s)".encode(),
        (device_id, *columns(device)),
    )
    exchange(connection, stream, device_id, device)


def exchange(
    connection: psycopg.Connection[Any], stream: str, device_id: str, device: Device
) -> None:
    """A registered device was exchanged when this one was, and at no other time."""
    connection.execute(
        "DELETE FROM register_exchanges WHERE stream = %s AND device_id = %s", (stream, device_id)
    )
    connection.cursor().executemany(
        "INSERT INTO register_exchanges"
        " (stream, device_id, exchanged_at, last_of_old, first_of_new)"
        " VALUES (%s, %s, %s, %s, %s)",
        [(stream, device_id, *one) for one in device.exchanges],
    )


def columns(device: Device) -> tuple[Any, ...]:
    """In the order in which `register` and `describe` name them."""
    mode = "register" if device.register else "interval"
    return (mode, device.pace_s, device.tolerance, device.modulus, device.max_kw)


def describe(
    connection: psycopg.Connection[Any], stream: str, device_id: str, device: Device
) -> None:
    """A registered device becomes what this one is; its exchanges stay."""
    connection.execute(
        f"UPDATE {TABLES[stream]} SET energy_reading = %s, report_seconds = %s,"
        f" register_tolerance = %s, register_modulus = %s, {LIMITS[stream]} = %s"
        f" WHERE {stream}_id = %s".encode(),
        (*columns(device), device_id),
    )


def reject(connection: psycopg.Connection[Any], topic: str, device_id: str, device: Device) -> None:
    """What was rejected of the device, and beside it what figures do not count."""
    rows: list[tuple[datetime, datetime | None, bool]] = []
    for time in device.rejected:
        rows += [(time, None, False), (time, START, False), (time, None, True)]
    connection.cursor().executemany(
        'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms, device_id,'
        " reason, detail, raw, reading_at, resolved_at, same_energy)"
        " VALUES ('test', %s, 0, %s, 0, %s, 'conflict', 'of a test', '', %s, %s, %s)",
        [(topic, next(offsets), device_id, *row) for row in rows],
    )


def store(connection: psycopg.Connection[Any], fleet: ReferenceFleet, prefix: str = "") -> None:
    """Stores the readings; of several with one time the first stays."""
    cursor = connection.cursor()
    cursor.executemany(
        'INSERT INTO meter_telemetry_history (meter_id, "timestamp", kwh_consumed_ac, voltage)'
        " VALUES (%s, %s, %s, 230) ON CONFLICT DO NOTHING",
        [(prefix + n, r.time, r.kwh) for n, d in fleet.meters.items() for r in d.readings],
    )
    cursor.executemany(
        'INSERT INTO vehicle_telemetry_history (vehicle_id, "timestamp", kwh_delivered_dc,'
        " battery_temp, soc) VALUES (%s, %s, %s, %s, 50) ON CONFLICT DO NOTHING",
        [(prefix + n, *r) for n, d in fleet.vehicles.items() for r in d.readings],
    )
