"""Figures from PostgreSQL against the plain reference, on random fleets."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from psycopg.rows import dict_row

from schemas.analytics import Window
from sql.named import load
from tests import fleets, reference
from tests.connections import connect
from tests.reference import Device, Fleet, Reading, Session

TOLERANCE = 1e-6
numbers = count(1)


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        connection.row_factory = dict_row
        connection.execute("SET timezone = 'UTC'")
        fleets.create_days(connection)
        yield connection


def sums(
    connection: psycopg.Connection[Any], vehicle: str, start: datetime, end: datetime
) -> list[dict[str, Any]]:
    window = Window(start, end)
    parameters = {
        "vehicle_id": vehicle,
        "energy_reading": "interval",
        "base_start": window.base_start,
        **window._asdict(),
    }
    return connection.execute(load("analytics")["performance"].encode(), parameters).fetchall()


def same(row: dict[str, Any], expected: reference.Sums) -> None:
    for name, value in asdict(expected).items():
        assert float(row[name]) == pytest.approx(float(value), abs=TOLERANCE), name


@settings(fleets.UNSHRUNK, max_examples=100)
@given(fleet=fleets.fleets(), window=fleets.windows)
def test_a_vehicles_hours_equal_the_reference(
    connection: psycopg.Connection[Any], fleet: reference.Fleet, window: tuple[datetime, datetime]
) -> None:
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    for vehicle in fleet.vehicles:
        expected = reference.performance(fleet, vehicle, *window)
        rows = sums(connection, prefix + vehicle, *window)
        assert rows[0]["sessions"] == expected.sessions
        assert rows[0]["session_seconds"] == expected.session_seconds
        hours = {row["hour"]: row for row in rows if row["hour"]}
        assert list(hours) == sorted(expected.hours)
        for hour, row in hours.items():
            same(row, expected.hours[hour])
        whole = {name: sum(row[name] for row in hours.values()) for name in asdict(expected.whole)}
        same(whole, expected.whole)


@pytest.mark.parametrize(
    ("gap", "energy"),
    [
        (timedelta(days=31), Decimal(2)),
        (timedelta(days=31, microseconds=1), Decimal(0)),
        (timedelta(microseconds=1), Decimal(2)),
    ],
)
def test_a_base_lies_at_most_31_days_before_its_reading(
    connection: psycopg.Connection[Any], gap: timedelta, energy: Decimal
) -> None:
    first = fleets.START + timedelta(minutes=30)
    readings = [Reading(first - gap, Decimal(7)), Reading(first, Decimal(9))]
    fleet = Fleet({"M": Device(True, readings)}, {"V": Device(True, readings)})
    fleet.sessions.append(Session("M", "V", fleets.START, None))
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    (row,) = sums(connection, prefix + "V", first, first + timedelta(hours=1))
    assert (row["energy_ac"], row["energy_dc"]) == (energy, energy)
    assert reference.performance(fleet, "V", first, first + timedelta(hours=1)).whole.energy_ac == (
        energy
    )


def test_a_base_may_lie_in_another_session_or_in_none(connection: psycopg.Connection[Any]) -> None:
    at = [fleets.START + timedelta(minutes=n) for n in range(6)]
    readings = [Reading(time, Decimal(10 * n)) for n, time in enumerate(at)]
    fleet = Fleet({"M": Device(True, readings)}, {"V": Device(True, []), "W": Device(True, [])})
    fleet.sessions += [Session("M", "V", at[0], at[2]), Session("M", "W", at[2], at[3])]
    fleet.sessions.append(Session("M", "V", at[4], at[5]))
    prefix = f"{next(numbers)}-"
    fleets.load(connection, fleet, prefix)
    (row,) = sums(connection, prefix + "V", at[0], at[5] + timedelta(hours=1))
    assert (row["energy_ac"], row["ac_readings"]) == (10 + 10, 3)
    (row,) = sums(connection, prefix + "W", at[0], at[5])
    assert (row["energy_ac"], row["ac_readings"]) == (10, 1)
