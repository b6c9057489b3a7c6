"""Rollups come to say what raw rows say, whatever happens to those and in whatever order.

They are seen through the fleet's answer, for hours, days and all there is, against the reference.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sql import store
from tests import fleets, reference, stored_fleets
from tests.changing_fleets import Changing, apply
from tests.connections import connect
from tests.corrected_fleets import corrections
from tests.fleets import START
from tests.reference import Correction, Device, Reading, ReferenceFleet, Session

HOUR = timedelta(hours=1)


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


vehicle_or_meter, one_of_two = st.booleans(), st.integers(0, 1)
some_readings = st.booleans().flatmap(fleets.wild_readings)
some_properties = st.booleans().flatmap(fleets.properties)
some_corrections = st.lists(fleets.times, min_size=1, max_size=4).flatmap(corrections)
misses = st.sampled_from(["0", "0", "0.3", "4", "-0.1"]).map(Decimal)
changes = st.lists(
    st.one_of(
        st.tuples(st.just("read"), vehicle_or_meter, one_of_two, some_readings),
        st.tuples(st.just("move"), st.integers(0, 5), fleets.times, fleets.times),
        st.tuples(st.just("become"), vehicle_or_meter, one_of_two, some_properties),
        st.tuples(st.just("say"), st.integers(0, 5), st.booleans(), misses),
        st.tuples(st.just("correct"), vehicle_or_meter, one_of_two, some_corrections),
        st.tuples(st.just("undo"), vehicle_or_meter, one_of_two, st.integers(0, 3)),
        st.tuples(st.just("catch up")),
    ),
    max_size=8,
)
hours = st.lists(st.integers(-2, 6).map(lambda n: START + n * HOUR), max_size=3, unique=True)


@hypothesis_settings(fleets.UNSHRUNK, max_examples=20)
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
    early, late, made = {}, {}, {}
    for devices in (fleet.meters, fleet.vehicles):
        for name, device in devices.items():
            early[name], late[name] = device.readings[::2], device.readings[1::2]
            made[name], device.readings, device.corrections = device.corrections, [], []
    topics = {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}
    stored_fleets.load(connection, changing.fleet, changing.prefix, topics)
    for session in fleet.sessions[::2]:
        changing.start(session)
    for part in (early, late):
        for name, readings in filter(itemgetter(1), part.items()):
            changing.read(name.startswith("V"), name, *readings)
        changing.agree()
        for name, some in made.items():
            for correction in some[:2]:
                changing.correct(name.startswith("V"), name, correction)
            del some[:2]
    for session in fleet.sessions[1::2]:
        changing.start(session)
    changing.agree()
    for kind, *what in changes:
        apply(changing, kind, *what)
    changing.agree(*((hour, hour + HOUR) for hour in hours))
    changing.agree_on_chargers()


Pair = Callable[[bool, bool], Changing]


@pytest.fixture
def pair(
    environment: dict[str, str],
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    staging: psycopg.Connection[Any],
) -> Pair:
    """Stores a meter M and a vehicle V, each a register or not, without a reading."""

    def stored(meter: bool, vehicle: bool) -> Changing:
        changing = Changing(environment, api, connection, staging)
        changing.fleet.meters = {"M": Device(meter)}
        changing.fleet.vehicles = {"V": Device(vehicle)}
        stored_fleets.load(connection, changing.fleet, changing.prefix)
        return changing

    return stored


def test_what_is_read_hours_later_decides_what_sessions_may_say(pair: Pair) -> None:
    """A meter that is silent but for one reading, which is below its meterStop."""
    changing = pair(True, False)
    session = Session("M", "V", START, START + HOUR, Decimal(1000), Decimal(1006))
    changing.start(session)
    changing.agree((START, START + HOUR))
    changing.read(False, "M", Reading(START + 5 * HOUR, Decimal(1003)))
    changing.agree((START, START + HOUR))
    changing.correct(False, "M", Correction("void", START + 5 * HOUR, START + 6 * HOUR))
    changing.agree((START, START + HOUR))
    assert reference.session(changing.fleet, session)["energyAc"] == 6


def test_a_reading_of_days_before_says_how_much_the_next_one_covers(pair: Pair) -> None:
    """The next one comes right after an hour began: with none before it covers a minute."""
    changing = pair(False, True)
    changing.start(Session("M", "V", START, START + 2 * HOUR))
    changing.read(True, "V", Reading(START + HOUR + timedelta(seconds=13), Decimal(1)))
    changing.agree((START, START + HOUR))
    changing.read(True, "V", Reading(START - 10 * HOUR, Decimal(1)))
    changing.agree((START, START + HOUR))


def test_what_comes_late_counts_where_a_correction_moves_it(pair: Pair) -> None:
    """A meter's clock was five hours ahead, and not all of what it sent had come by then."""
    changing = pair(False, False)
    changing.start(Session("M", "V", START, START + HOUR))
    late = START + 5.5 * HOUR
    changing.correct(False, "M", Correction("shift", late, late + HOUR, shift=-5 * HOUR))
    changing.agree((START, START + HOUR))
    changing.read(False, "M", Reading(late, Decimal(2)))
    changing.agree((START, START + HOUR))
