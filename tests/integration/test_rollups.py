"""Rollups come to say what raw rows say, whatever happens to those and in whatever order.

They are seen through the fleet's answer, for hours, days and all there is, against the reference.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from operator import itemgetter
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from schemas.streams import METER, VEHICLE
from schemas.streams.times import to_micros
from sql import store
from tests import fleets, stored_fleets
from tests.connections import connect
from tests.fleets import LAST, START
from tests.reference import Device, Reading, ReferenceFleet, Session
from tests.rolled_up import fleet_answer, vehicles_agree
from tests.settings import settings_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = LAST + DAY
EVERYTHING = (START - 30 * DAY, START + DAY)
FIRST_DAY = (START.replace(hour=0), START.replace(hour=0) + DAY)
numbers = count(1)


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        stored_fleets.create_days(connection)
        yield connection


@pytest.fixture(scope="module")
def staging(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A connection that stages as a worker does."""
    with connect(environment) as connection:
        store.prepare(connection)
        yield connection


def flush(
    connection: psycopg.Connection[Any], device_id: str, vehicle: bool, *new: Reading
) -> None:
    """Store readings as a worker stages them."""
    rows = []
    for reading in new:
        time, kwh = to_micros(reading.time), float(reading.kwh)
        if vehicle:
            temp: Any = None if reading.temp is None else float(reading.temp)
            row = VEHICLE.row(device_id, time, kwhDeliveredDc=kwh, soc=50.0, batteryTemp=temp)
        else:
            row = METER.row(device_id, time, kwhConsumedAc=kwh, voltage=230.0)
        rows.append(row)
    with connection.transaction():
        store.store_staged(connection, VEHICLE if vehicle else METER, rows)


class Changing:
    """A fleet whose readings, sessions and devices change, here and in PostgreSQL alike."""

    def __init__(
        self,
        environment: dict[str, str],
        api: httpx.Client,
        connection: psycopg.Connection[Any],
        staging: psycopg.Connection[Any],
    ) -> None:
        self.settings, self.api = settings_of(environment), api
        self.connection, self.staging = connection, staging
        self.fleet, self.prefix = ReferenceFleet(now=datetime.now(UTC)), f"{next(numbers)}-"

    def devices(self, vehicle: bool) -> dict[str, Device]:
        return self.fleet.vehicles if vehicle else self.fleet.meters

    def read(self, vehicle: bool, name: str, *new: Reading) -> None:
        self.devices(vehicle)[name].readings += new
        flush(self.staging, self.prefix + name, vehicle, *new)

    def start(self, session: Session) -> None:
        self.fleet.sessions.append(session)
        stored_fleets.start(self.connection, self.prefix, [session])

    def move(self, number: int, start: datetime, end: datetime | None) -> None:
        old = self.fleet.sessions[number]
        self.fleet.sessions[number] = old._replace(start=start, end=end)
        self.connection.execute(
            "UPDATE charging_sessions SET started_at = %s, ended_at = %s WHERE meter_id = %s"
            " AND vehicle_id = %s AND started_at = %s AND ended_at IS NOT DISTINCT FROM %s",
            (start, end, self.prefix + old.meter, self.prefix + old.vehicle, old.start, old.end),
        )

    def become(self, vehicle: bool, name: str, other: Device) -> None:
        """It keeps its readings and what is said of them, and is another device otherwise."""
        old = self.devices(vehicle)[name]
        kept = ("readings", "rejected", "corrections")
        other = Device(**vars(other) | {part: getattr(old, part) for part in kept})
        self.devices(vehicle)[name] = other
        stream = "vehicle" if vehicle else "meter"
        stored_fleets.describe(self.connection, stream, self.prefix + name, other)
        stored_fleets.exchange(self.connection, stream, self.prefix + name, other)

    def agree(self, *windows: tuple[datetime, datetime]) -> None:
        assert bring_up_to_date(self.connection, self.settings, NOW, 60)
        assert backlog(self.connection).entries == 0
        for window in (EVERYTHING, FIRST_DAY, *windows):
            vehicles_agree(fleet_answer(self.api, *window), self.fleet, self.prefix)


vehicle_or_meter, one_of_two = st.booleans(), st.integers(0, 1)
some_readings = st.booleans().flatmap(fleets.wild_readings)
some_properties = st.booleans().flatmap(fleets.properties)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("read"), vehicle_or_meter, one_of_two, some_readings),
        st.tuples(st.just("move"), st.integers(0, 5), fleets.times, fleets.times),
        st.tuples(st.just("become"), vehicle_or_meter, one_of_two, some_properties),
        st.tuples(st.just("catch up")),
    ),
    max_size=8,
)
hours = st.lists(st.integers(-2, 6).map(lambda n: START + n * HOUR), max_size=3, unique=True)


@hypothesis_settings(fleets.UNSHRUNK, max_examples=30)
@given(fleet=fleets.fleets(), changes=changes, hours=hours)
def test_rollups_equal_their_raw_rows(
    environment: dict[str, str],
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    staging: psycopg.Connection[Any],
    fleet: ReferenceFleet,
    changes: list[tuple[Any, ...]],
    hours: list[datetime],
) -> None:
    changing = Changing(environment, api, connection, staging)
    changing.fleet.meters, changing.fleet.vehicles = fleet.meters, fleet.vehicles
    early, late = {}, {}
    for devices in (fleet.meters, fleet.vehicles):
        for name, device in devices.items():
            early[name], late[name] = device.readings[::2], device.readings[1::2]
            device.readings = []
    topics = {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}
    stored_fleets.load(connection, changing.fleet, changing.prefix, topics)
    for session in fleet.sessions[::2]:
        changing.start(session)
    for part in (early, late):
        for name, readings in filter(itemgetter(1), part.items()):
            changing.read(name.startswith("V"), name, *readings)
        changing.agree()
    for session in fleet.sessions[1::2]:
        changing.start(session)
    changing.agree()
    for kind, *what in changes:
        apply(changing, kind, *what)
    changing.agree(*((hour, hour + HOUR) for hour in hours))


def apply(changing: Changing, kind: str, *what: Any) -> None:
    """One random change, if it can be."""
    if kind in ("read", "become"):
        vehicle, number, new = what
        name = f"{'V' if vehicle else 'M'}{number}"
        if kind == "read":
            changing.read(vehicle, name, *new)
        else:
            changing.become(vehicle, name, new)
    elif kind == "move" and what[0] < len(changing.fleet.sessions):
        number, *times = what
        start, end = sorted(times)
        moved = changing.fleet.sessions[number]._replace(start=start, end=end)
        others = [s for n, s in enumerate(changing.fleet.sessions) if n != number]
        if not any(fleets.clash(moved, other) for other in others):
            changing.move(number, start, end)
    elif kind == "catch up":
        changing.agree()
