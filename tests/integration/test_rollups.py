"""Rollups come to equal their raw rows, whatever happens to those and in whatever order."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from schemas.streams import METER, VEHICLE
from schemas.streams.times import to_micros
from sql import store
from tests import fleets, reference
from tests.connections import connect
from tests.fleets import GRID, SLOTS, START
from tests.reference import Reading
from tests.settings import settings_of

NOW = START + SLOTS * GRID + timedelta(hours=3)
HOUR = timedelta(hours=1)
numbers = count(1)


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        fleets.create_days(connection)
        yield connection


Rows = Counter[tuple[Any, ...]]
COLUMNS = (
    "readings",
    "ac_readings",
    "dc_readings",
    "counter_resets",
    "temp_sum",
    "energy_ac",
    "energy_dc",
    "energy_outside",
)


def expected(fleet: reference.ReferenceFleet, prefix: str) -> dict[str, Rows]:
    """The tables as the reference says they have to be."""
    rows: dict[str, Rows] = {"hours": Counter(), "days": Counter()}
    for name, device in fleet.vehicles.items():
        mine = [s for s in fleet.sessions if s.vehicle == name]
        hours = {reference.hour_of(r.time) for r in device.readings}
        hours |= {reference.hour_of(r.time) for s in mine for r in fleet.meters[s.meter].readings}
        for hour in hours:
            rows["hours"] += whole(fleet, prefix, name, hour, HOUR)
        for day in {hour.replace(hour=0) for hour in hours}:
            rows["days"] += whole(fleet, prefix, name, day, 24 * HOUR)
    return rows


def whole(
    fleet: reference.ReferenceFleet, prefix: str, vehicle: str, start: datetime, length: timedelta
) -> Rows:
    """A vehicle's row of an hour or a day, if it has one."""
    sums = reference.performance(fleet, vehicle, start, start + length).whole
    if not sums.readings and not sums.ac_readings:
        return Counter()
    return Counter([(start, prefix + vehicle, *(getattr(sums, name) for name in COLUMNS))])


def stored(connection: psycopg.Connection[Any], prefix: str) -> dict[str, Rows]:
    """The tables as they are."""
    rows: dict[str, Rows] = {}
    for name in ("hours", "days"):
        columns = ", ".join(("hour", "vehicle_id", *COLUMNS))
        query = f"SELECT {columns} FROM vehicle_{name} WHERE starts_with(vehicle_id, %s)"
        rows[name] = Counter(connection.execute(query.encode(), (prefix,)).fetchall())
    return rows


def flush(
    connection: psycopg.Connection[Any], prefix: str, vehicle: bool, name: str, *new: Reading
) -> None:
    """Store readings as a worker stages them."""
    device_id = prefix + name
    with connection.transaction():
        if vehicle:
            rows = [
                VEHICLE.row(
                    device_id,
                    to_micros(r.time),
                    kwhDeliveredDc=float(r.kwh),
                    soc=50.0,
                    batteryTemp=float(r.temp),
                )
                for r in new
            ]
            store.store_staged(connection, VEHICLE, rows)
        else:
            meter_rows = [
                METER.row(device_id, to_micros(r.time), kwhConsumedAc=float(r.kwh), voltage=230.0)
                for r in new
            ]
            store.store_staged(connection, METER, meter_rows)


class Changing:
    """A fleet whose readings, sessions and modes change, here and in PostgreSQL alike."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        staging: psycopg.Connection[Any],
        fleet: reference.ReferenceFleet,
        prefix: str,
    ) -> None:
        self.connection, self.staging = connection, staging
        self.fleet, self.prefix = fleet, prefix

    def read(self, vehicle: bool, name: str, *new: Reading) -> None:
        devices = self.fleet.vehicles if vehicle else self.fleet.meters
        devices[name].readings += new
        flush(self.staging, self.prefix, vehicle, name, *new)

    def start(self, session: reference.Session) -> None:
        self.fleet.sessions.append(session)
        self.connection.execute(
            "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
            " VALUES (%s, %s, %s, %s)",
            (self.prefix + session.meter, self.prefix + session.vehicle, *session[2:]),
        )

    def move(self, number: int, start: datetime, end: datetime | None) -> None:
        old = self.fleet.sessions[number]
        self.fleet.sessions[number] = old._replace(start=start, end=end)
        self.connection.execute(
            "UPDATE charging_sessions SET started_at = %s, ended_at = %s"
            " WHERE vehicle_id = %s AND started_at = %s",
            (start, end, self.prefix + old.vehicle, old.start),
        )

    def turn(self, vehicle: bool, name: str) -> None:
        """The other meaning of its readings."""
        device = (self.fleet.vehicles if vehicle else self.fleet.meters)[name]
        device.register = not device.register
        table, column = ("vehicles", "vehicle_id") if vehicle else ("meters", "meter_id")
        self.connection.execute(
            f"UPDATE {table} SET energy_reading = %s WHERE {column} = %s".encode(),
            ("register" if device.register else "interval", self.prefix + name),
        )

    def agree(self, environment: dict[str, str]) -> None:
        assert bring_up_to_date(self.connection, settings_of(environment), NOW, 60)
        assert backlog(self.connection).entries == 0
        assert stored(self.connection, self.prefix) == expected(self.fleet, self.prefix)


@pytest.fixture(scope="module")
def staging(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection that stages as a worker does."""
    with connect(environment) as connection:
        store.prepare(connection)
        yield connection


changes = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.booleans(), st.integers(0, 1), fleets.readings),
        st.tuples(st.just("move"), st.integers(0, 5), fleets.times, fleets.times),
        st.tuples(st.just("turn"), st.booleans(), st.integers(0, 1)),
        st.tuples(st.just("catch up")),
    ),
    max_size=8,
)


@hypothesis_settings(fleets.UNSHRUNK, max_examples=40)
@given(fleet=fleets.fleets(), changes=changes)
def test_rollups_equal_their_raw_rows(
    environment: dict[str, str],
    connection: psycopg.Connection[Any],
    staging: psycopg.Connection[Any],
    fleet: reference.ReferenceFleet,
    changes: list[tuple[Any, ...]],
) -> None:
    prefix = f"{next(numbers)}-"
    changing = Changing(
        connection, staging, reference.ReferenceFleet(fleet.meters, fleet.vehicles, []), prefix
    )
    early, late = {}, {}
    for devices in (fleet.meters, fleet.vehicles):
        for name, device in devices.items():
            early[name], late[name] = device.readings[::2], device.readings[1::2]
            device.readings = []
    fleets.load(connection, changing.fleet, prefix)
    for session in fleet.sessions[::2]:
        changing.start(session)
    for part in (early, late):
        for name, readings in part.items():
            if readings:
                changing.read(name.startswith("V"), name, *readings)
        changing.agree(environment)
    for session in fleet.sessions[1::2]:
        changing.start(session)
    changing.agree(environment)
    for kind, *what in changes:
        apply(changing, environment, kind, *what)
    changing.agree(environment)


def apply(changing: Changing, environment: dict[str, str], kind: str, *what: Any) -> None:
    """One random change, if it can be."""
    if kind == "read":
        vehicle, number, readings = what
        if readings:
            changing.read(vehicle, f"{'V' if vehicle else 'M'}{number}", *readings)
    elif kind == "turn":
        vehicle, number = what
        changing.turn(vehicle, f"{'V' if vehicle else 'M'}{number}")
    elif kind == "move" and what[0] < len(changing.fleet.sessions):
        number, *times = what
        start, end = sorted(times)
        moved = changing.fleet.sessions[number]._replace(start=start, end=end)
        others = [s for n, s in enumerate(changing.fleet.sessions) if n != number]
        same_start = any(s.vehicle == moved.vehicle and s.start == start for s in others)
        if not same_start and not any(fleets.clash(moved, other) for other in others):
            changing.move(number, start, end)
    elif kind == "catch up":
        changing.agree(environment)
