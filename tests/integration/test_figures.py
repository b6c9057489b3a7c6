"""Figures from PostgreSQL against the plain reference, on random fleets."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings

from api.figures import Row, total
from api.routes.analytics import Sums, sums
from schemas.analytics import Window
from schemas.settings import Settings
from tests import fleets, reference
from tests.connections import connect, connect_async
from tests.reference import Device, Reading, ReferenceFleet, Session

Summed = Callable[[str, datetime, datetime], Sums]
TOLERANCE = 1e-6
numbers = count(1)


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        fleets.create_days(connection)
        yield connection


@pytest.fixture(scope="module")
def summed(environment: dict[str, str]) -> Iterator[Summed]:
    """The product's own sums, over a connection like the API's."""
    with asyncio.Runner() as runner:
        connection = runner.run(connect_async(environment))

        def sum_up(vehicle: str, start: datetime, end: datetime) -> Sums:
            return runner.run(sums(connection, Settings(), vehicle, Window(start, end)))

        yield sum_up
        runner.run(connection.close())


def whole(rows: list[Row]) -> Row:
    """The sums of all of them, exact."""
    return {name: total(rows, name) for name in asdict(reference.Sums())}


def same(row: dict[str, Any], expected: reference.Sums) -> None:
    for name, value in asdict(expected).items():
        assert float(row[name]) == pytest.approx(float(value), abs=TOLERANCE), name


@settings(fleets.UNSHRUNK, max_examples=100)
@given(fleet=fleets.fleets(), window=fleets.windows)
def test_a_vehicles_hours_equal_the_reference(
    connection: psycopg.Connection[Any],
    summed: Summed,
    fleet: reference.ReferenceFleet,
    window: tuple[datetime, datetime],
) -> None:
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    for vehicle in fleet.vehicles:
        expected = reference.performance(fleet, vehicle, *window)
        found = summed(prefix + vehicle, *window)
        assert found.sessions == expected.sessions
        assert found.in_sessions == expected.in_sessions
        assert {row["hour"] for row in found.rows} == set(expected.hours)
        for hour, sums_of_hour in expected.hours.items():
            same(whole([row for row in found.rows if row["hour"] == hour]), sums_of_hour)
        same(whole(found.rows), expected.whole)


@pytest.mark.parametrize(
    ("gap", "energy"),
    [
        (timedelta(days=31), Decimal(2)),
        (timedelta(days=31, microseconds=1), Decimal(0)),
        (timedelta(microseconds=1), Decimal(2)),
    ],
)
def test_a_base_lies_at_most_31_days_before_its_reading(
    connection: psycopg.Connection[Any], summed: Summed, gap: timedelta, energy: Decimal
) -> None:
    first = fleets.START + timedelta(minutes=30)
    readings = [Reading(first - gap, Decimal(7)), Reading(first, Decimal(9))]
    fleet = ReferenceFleet({"M": Device(True, readings)}, {"V": Device(True, readings)})
    fleet.sessions.append(Session("M", "V", fleets.START, None))
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    row = whole(summed(prefix + "V", first, first + timedelta(hours=1)).rows)
    assert (row["energy_ac"], row["energy_dc"]) == (energy, energy)
    assert reference.performance(fleet, "V", first, first + timedelta(hours=1)).whole.energy_ac == (
        energy
    )


def test_a_base_may_lie_in_another_session_or_in_none(
    connection: psycopg.Connection[Any], summed: Summed
) -> None:
    at = [fleets.START + timedelta(minutes=n) for n in range(6)]
    readings = [Reading(time, Decimal(10 * n)) for n, time in enumerate(at)]
    fleet = ReferenceFleet(
        {"M": Device(True, readings)}, {"V": Device(True, []), "W": Device(True, [])}
    )
    fleet.sessions += [Session("M", "V", at[0], at[2]), Session("M", "W", at[2], at[3])]
    fleet.sessions.append(Session("M", "V", at[4], at[5]))
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    row = whole(summed(prefix + "V", at[0], at[5] + timedelta(hours=1)).rows)
    assert (row["energy_ac"], row["ac_readings"]) == (10 + 10, 3)
    row = whole(summed(prefix + "W", at[0], at[5]).rows)
    assert (row["energy_ac"], row["ac_readings"]) == (10, 1)
