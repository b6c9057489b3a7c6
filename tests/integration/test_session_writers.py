"""Everybody who writes a session locks the same rows in the same order, so that none deadlocks."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from ingest_worker.housekeeping.idle_sessions import end_silent
from tests import session_events
from tests.connections import connect, waiting_for_locks
from tests.readings import iso
from tests.workers import wait_until

DAY = datetime(2026, 1, 31, tzinfo=UTC)
RACE_S = 3.0
RACERS = 8
PAIRS = 2
"""Of devices that all of them write sessions of."""
_numbers = count(1)

Writer = Callable[[httpx.Client, str], httpx.Response]


def at(minutes: float) -> str:
    return iso(DAY + timedelta(minutes=minutes))


def end(api: httpx.Client, session_id: str) -> httpx.Response:
    return api.post(f"/v1/sessions/{session_id}/end", json={"endedAt": at(1)})


def move(api: httpx.Client, session_id: str) -> httpx.Response:
    return api.patch(f"/v1/sessions/{session_id}", json={"startedAt": at(0.5)})


def open_again(api: httpx.Client, session_id: str) -> httpx.Response:
    return api.patch(f"/v1/sessions/{session_id}", json={"endedAt": None})


def put_away(api: httpx.Client, session_id: str) -> httpx.Response:
    """Make it so short that it is in no other's way."""
    return api.patch(f"/v1/sessions/{session_id}", json={"startedAt": at(9), "endedAt": at(9)})


CHANGES = (move, end, open_again, put_away)


def told(meter: str, vehicle: str, number: int) -> list[bytes]:
    """What a charger says of a session of half a minute."""
    name = f"{meter}-{number}"
    start = session_events.start(name, meter, vehicle, number)
    return [start, session_events.end(name, number + 0.5)]


@pytest.fixture
def database(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        yield connection


def pair(api: httpx.Client) -> dict[str, str]:
    """A meter and a vehicle nobody else uses."""
    number = next(_numbers)
    for kind in ("meter", "vehicle"):
        created = api.post(f"/v1/devices/{kind}s", json={f"{kind}Id": f"{kind}-{number}"})
        assert created.status_code == 201
    return {"meterId": f"meter-{number}", "vehicleId": f"vehicle-{number}"}


def is_locked(database: psycopg.Connection[Any], table: str, column: str, value: str) -> bool:
    query = f"SELECT FROM {table} WHERE {column} = %s FOR NO KEY UPDATE SKIP LOCKED"
    return database.execute(query.encode(), (value,)).fetchone() is None


@pytest.mark.parametrize("write", [end, move])
def test_a_writer_waits_for_the_meter_then_for_the_vehicle_then_for_the_session(
    api: httpx.Client,
    environment: dict[str, str],
    database: psycopg.Connection[Any],
    write: Writer,
) -> None:
    devices = pair(api)
    session = api.post("/v1/sessions/start", json=devices | {"startedAt": at(0)}).json()
    rows = [
        ("meters", "meter_id", devices["meterId"]),
        ("vehicles", "vehicle_id", devices["vehicleId"]),
        ("charging_sessions", "session_id", session["sessionId"]),
    ]
    for place, (table, column, value) in enumerate(rows):
        with ThreadPoolExecutor(1) as client, connect(environment) as holder:
            with holder.transaction():
                query = f"SELECT FROM {table} WHERE {column} = %s FOR NO KEY UPDATE"
                holder.execute(query.encode(), (value,))
                answer = client.submit(write, api, session["sessionId"])
                wait_until(lambda: waiting_for_locks(environment) == 1, f"it waits at {table}")
                locked = [is_locked(database, *row) for row in rows]
                assert locked == [number <= place for number in range(len(rows))]
            assert answer.result().status_code == 200
        if write is end:
            open_again(api, session["sessionId"])


def test_a_session_whose_devices_are_in_use_is_ended_as_idle_in_a_later_round(
    api: httpx.Client, environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    starts = {"startedAt": at(0)}
    pairs = [pair(api) for _ in range(2)]
    paths = [
        f"/v1/sessions/{api.post('/v1/sessions/start', json=devices | starts).json()['sessionId']}"
        for devices in pairs
    ]

    def are_active() -> list[bool]:
        end_silent(database, DAY + timedelta(minutes=1))
        return [api.get(path).json()["isActive"] for path in paths]

    with connect(environment) as holder, holder.transaction():
        query = "SELECT FROM vehicles WHERE vehicle_id = %s FOR NO KEY UPDATE"
        holder.execute(query, (pairs[0]["vehicleId"],))
        assert are_active() == [True, False]
    assert are_active() == [False, False]


def test_no_two_writers_deadlock(
    api: httpx.Client, environment: dict[str, str], database: psycopg.Connection[Any]
) -> None:
    """Sessions start, end, move and open again, are found idle, and chargers tell of others."""
    meters, vehicles = zip(*(pair(api).items() for _ in range(PAIRS)), strict=True)
    until = time.monotonic() + RACE_S

    def race(number: int) -> Counter[int]:
        statuses: Counter[int] = Counter()
        devices = dict((meters[number % PAIRS], vehicles[number // PAIRS % PAIRS]))
        while time.monotonic() < until:
            answer = api.post("/v1/sessions/start", json=devices | {"startedAt": at(0)})
            statuses[answer.status_code] += 1
            for session in api.get("/v1/sessions/active").json():
                statuses += Counter(
                    change(api, session["sessionId"]).status_code for change in CHANGES
                )
        return statuses

    def end_the_idle() -> int:
        ended = 0
        with connect(environment) as worker:
            while time.monotonic() < until:
                ended += end_silent(worker, DAY + timedelta(minutes=2))
        return ended

    def take_events() -> int:
        taken = 0
        with connect(environment) as asking:
            topic = session_events.Topic(environment, asking)
            while time.monotonic() < until:
                events = [
                    event
                    for (_, meter), (_, vehicle) in zip(meters, vehicles[::-1], strict=True)
                    for event in told(meter, vehicle, taken)
                ]
                topic.send(*events)
                taken += 1
            topic.sink.close()
        return taken

    with ThreadPoolExecutor(RACERS + 2) as racers:
        idle, events = racers.submit(end_the_idle), racers.submit(take_events)
        statuses = sum(racers.map(race, range(RACERS)), Counter())
    assert {200, 201, 409} <= set(statuses) <= {200, 201, 400, 409}, statuses
    assert idle.result() > 0 and events.result() > 0
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert database.execute(deadlocks).fetchone() == (0,)
