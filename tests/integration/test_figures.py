"""Figures over HTTP against the plain reference, on random fleets: every field of every answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given, settings

from tests import fleets, reference, stored_fleets
from tests.agreement import agree
from tests.connections import connect
from tests.fleets import START
from tests.readings import iso
from tests.reference import ReferenceFleet

Window = tuple[datetime, datetime]
numbers = count(1)


@pytest.fixture(scope="module")
def topics(environment: dict[str, str]) -> dict[str, str]:
    return {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        stored_fleets.create_days(connection)
        yield connection


def get(api: httpx.Client, path: str, window: Window | None = None) -> dict[str, Any]:
    query = {"startTime": iso(window[0]), "endTime": iso(window[1])} if window else {}
    answer = api.get(f"/v1/analytics/{path}", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def judged_alike(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same answer, and a reason where alerts are not certain."""
    agree(found, expected)
    assert all(("why" in alert) is not alert["certain"] for alert in found["alerts"])


@settings(fleets.UNSHRUNK, max_examples=40)
@given(fleet=fleets.fleets(), window=fleets.windows)
def test_vehicles(
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    topics: dict[str, str],
    fleet: ReferenceFleet,
    window: Window,
) -> None:
    prefix = f"{next(numbers)}-"
    stored_fleets.load(connection, fleet, prefix, topics)
    fleet.now = datetime.now(UTC)
    for vehicle in fleet.vehicles:
        found = get(api, f"performance/{prefix}{vehicle}", window)
        judged_alike(found, reference.performance(fleet, vehicle, *window))


@settings(fleets.UNSHRUNK, max_examples=40)
@given(fleet=fleets.fleets(), window=fleets.windows)
def test_meters(
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    topics: dict[str, str],
    fleet: ReferenceFleet,
    window: Window,
) -> None:
    prefix = f"{next(numbers)}-"
    stored_fleets.load(connection, fleet, prefix, topics)
    for meter in fleet.meters:
        found = get(api, f"meters/{prefix}{meter}", window)
        for session in found["sessions"]:
            session["vehicleId"] = session["vehicleId"].removeprefix(prefix)
        judged_alike(found, reference.meter(fleet, meter, *window))


@settings(fleets.UNSHRUNK, max_examples=40)
@given(fleet=fleets.fleets())
def test_sessions(
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    topics: dict[str, str],
    fleet: ReferenceFleet,
) -> None:
    prefix = f"{next(numbers)}-"
    stored_fleets.load(connection, fleet, prefix, topics)
    for session in fleet.sessions:
        row = connection.execute(
            "SELECT session_id FROM charging_sessions WHERE meter_id = %s AND vehicle_id = %s"
            " AND started_at = %s AND ended_at IS NOT DISTINCT FROM %s",
            (prefix + session.meter, prefix + session.vehicle, session.start, session.end),
        ).fetchone()
        assert row
        found = get(api, f"sessions/{row[0]}")
        fleet.now = datetime.fromisoformat(found["period"]["end"])
        judged_alike(found, reference.session(fleet, session))


@settings(fleets.UNSHRUNK, max_examples=20)
@given(fleet=fleets.fleets(), cuts=fleets.cuts)
def test_windows_side_by_side_add_up(
    api: httpx.Client,
    connection: psycopg.Connection[Any],
    fleet: ReferenceFleet,
    cuts: list[datetime],
) -> None:
    """Each part is rounded to 0.001."""
    prefix = f"{next(numbers)}-"
    stored_fleets.load(connection, fleet, prefix)
    ends = sorted({START - timedelta(hours=2), *cuts, fleets.LAST})
    paths = [f"performance/{prefix}{name}" for name in fleet.vehicles]
    paths += [f"meters/{prefix}{name}" for name in fleet.meters]
    for path in paths:
        whole = energies(get(api, path, (ends[0], ends[-1])))
        parts = [energies(get(api, path, window)) for window in pairwise(ends)]
        for name, value in whole.items():
            total = sum(part[name] for part in parts)
            assert total == pytest.approx(value, abs=0.0005 * (len(parts) + 1) + 1e-6), name


def energies(answer: dict[str, Any]) -> dict[str, float]:
    """What adds up, of both kinds of answers."""
    known = {**answer["metrics"], **answer["coverage"]}
    return {name: value for name, value in known.items() if "nergy" in name or "estim" in name}
