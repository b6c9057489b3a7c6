"""Random fleets for hypothesis, and how they get into PostgreSQL.

Times fall on a coarse grid and a microsecond beside it, so that readings, sessions, hours and
windows often meet exactly.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.reference import Device, Reading, ReferenceFleet, Session

START = datetime(2026, 3, 10, 22, tzinfo=UTC)
UNSHRUNK = settings(
    deadline=None, phases=[Phase.reuse, Phase.generate], suppress_health_check=list(HealthCheck)
)
"""A failing fleet is shown as it is: making it smaller takes minutes with a database."""
GRID = timedelta(minutes=15)
DAYS = range(-40, 4)
"""Days around START that have partitions."""
SLOTS = 20
"""Of the grid, after START: the time most things happen in."""
LONG_AGO = (-1, -3, -96, -96 * 30, -96 * 31, -96 * 31 - 1, -96 * 33)
"""Slots before START where a base may lie, or just not."""

ticks = st.sampled_from([-1, 0, 0, 0, 1]).map(lambda n: timedelta(microseconds=n))
slots = st.integers(0, SLOTS)
times = st.builds(lambda slot, tick: START + slot * GRID + tick, slots, ticks)
all_times = st.one_of(
    times,
    times,
    times,
    st.builds(lambda s, t: START + s * GRID + t, st.sampled_from(LONG_AGO), ticks),
)
amounts = st.integers(0, 50_000).map(lambda n: Decimal(n) / 1000)
temps = st.integers(-100, 450).map(lambda n: Decimal(n) / 10)
readings = st.lists(st.builds(Reading, all_times, amounts, temps), min_size=2, max_size=25)
devices = st.builds(Device, st.booleans(), readings)


@st.composite
def fleets(draw: Any, *, meters: int = 3, vehicles: int = 2) -> ReferenceFleet:
    """Some meters and vehicles, and sessions that do not overlap."""
    fleet = ReferenceFleet(
        {f"M{n}": draw(devices) for n in range(meters)},
        {f"V{n}": draw(devices) for n in range(vehicles)},
    )
    for _ in range(draw(st.integers(1, 6))):
        meter, vehicle = (
            draw(st.sampled_from([*fleet.meters])),
            draw(st.sampled_from([*fleet.vehicles])),
        )
        start, end = sorted((draw(times), draw(times)))
        session = Session(meter, vehicle, start, end if draw(st.integers(0, 3)) else None)
        if not any(clash(session, other) for other in fleet.sessions):
            fleet.sessions.append(session)
    return fleet


windows = st.one_of(
    st.just((START - GRID, START + (SLOTS + 1) * GRID)),
    st.tuples(times, times).map(lambda pair: tuple(sorted(pair))).filter(lambda p: p[0] < p[1]),
)


def clash(one: Session, other: Session) -> bool:
    if one.meter != other.meter and one.vehicle != other.vehicle:
        return False
    if one.start == one.end or other.start == other.end:
        return False
    return (one.end is None or other.start < one.end) and (
        other.end is None or one.start < other.end
    )


def create_days(connection: psycopg.Connection[Any], days: Iterable[int] = DAYS) -> None:
    """The day partitions a random fleet needs."""
    for table in ("meter_telemetry_history", "vehicle_telemetry_history"):
        for day in days:
            connection.execute(
                "SELECT create_day_partition(%s, %s)", (table, (START + timedelta(days=day)).date())
            )


def load(connection: psycopg.Connection[Any], fleet: ReferenceFleet, prefix: str = "") -> None:
    """Registers the devices, with `prefix` before their names; stores sessions and readings."""
    cursor = connection.cursor()
    modes = {True: "register", False: "interval"}
    for table, column, devices in (
        ("meters", "meter_id", fleet.meters),
        ("vehicles", "vehicle_id", fleet.vehicles),
    ):
        cursor.executemany(
            f"INSERT INTO {table} ({column}, energy_reading) VALUES (%s, %s)".encode(),
            [(prefix + name, modes[device.register]) for name, device in devices.items()],
        )
    cursor.executemany(
        "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
        " VALUES (%s, %s, %s, %s)",
        [(prefix + s.meter, prefix + s.vehicle, s.start, s.end) for s in fleet.sessions],
    )
    store(connection, fleet, prefix)


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
