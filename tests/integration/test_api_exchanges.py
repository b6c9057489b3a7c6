"""Exchanges of devices over HTTP; what holds for meters holds for vehicles."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import stored_fleets
from tests.connections import connect
from tests.fleets import START
from tests.readings import iso
from tests.reference import Device, Reading, ReferenceFleet, Session

AT = "2026-03-01T12:00:00.500000Z"
SKEW_S = 300
KINDS = {"meters": "meter", "vehicles": "vehicle"}
both = pytest.mark.parametrize("plural", KINDS)


@pytest.fixture
def path(api: httpx.Client, plural: str, request: pytest.FixtureRequest) -> str:
    """The path of the exchanges of a device that is just registered, its id among odd ones."""
    device_id = f"of {request.node.name}"[:64]
    created = api.post(f"/v1/devices/{plural}", json={f"{KINDS[plural]}Id": device_id})
    assert created.status_code == 201
    return f"{created.headers['Location']}/exchanges"


@both
def test_note_list_and_take_back(api: httpx.Client, path: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"at": AT, "lastOfOld": 29_003.5, "firstOfNew": 0},
        {"at": "2026-02-01T01:00:00+01:00", "lastOfOld": 12.5},
        {"at": "1999-01-01T00:00:00Z", "firstOfNew": None},
    ]
    made = []
    for body in bodies:
        answer = api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        made.append(answer.json())
    ids = [one["exchangeId"] for one in made]
    assert [{**one, "exchangeId": "", "createdAt": ""} for one in made] == [
        {"exchangeId": "", "at": at, "lastOfOld": last, "firstOfNew": first, "createdAt": ""}
        for at, last, first in (
            (AT, 29_003.5, 0),
            ("2026-02-01T00:00:00Z", 12.5, None),
            ("1999-01-01T00:00:00Z", None, None),
        )
    ]
    assert len(set(ids)) == 3
    assert api.get(path).json() == made[::-1]

    assert api.delete(f"{path}/{ids[1]}").status_code == 204
    assert api.delete(f"{path}/{ids[1]}").status_code == 404
    assert [one["exchangeId"] for one in api.get(path).json()] == [ids[2], ids[0]]
    assert api.post(path, json=bodies[1]).status_code == 201


@both
def test_page_by_page(api: httpx.Client, path: str) -> None:
    times = [f"2026-01-0{day}T00:00:00.00000{day}Z" for day in range(1, 6)]
    for at in reversed(times):
        assert api.post(path, json={"at": at}).status_code == 201
    seen, page = [], f"{path}?limit=2"
    while page:
        answer = api.get(page)
        assert 1 <= len(answer.json()) <= 2
        seen += [exchange["at"] for exchange in answer.json()]
        page = answer.links.get("next", {}).get("url", "")
    assert seen == times


@both
def test_the_same_instant_is_taken_once(api: httpx.Client, path: str) -> None:
    """Also when several ask at the same time."""
    with ThreadPoolExecutor(8) as at_once:
        asked = [at_once.submit(api.post, path, json={"at": AT}) for _ in range(8)]
        statuses = sorted(one.result().status_code for one in asked)
    assert statuses == [201] + 7 * [409]
    again = api.post(path, json={"at": "2026-03-01T13:00:00.5+01:00", "lastOfOld": 1})
    assert again.json()["message"].endswith("was exchanged at that instant already")
    assert [exchange["lastOfOld"] for exchange in api.get(path).json()] == [None]


@both
def test_not_further_ahead_than_clocks_may_be(api: httpx.Client, path: str) -> None:
    def post(ahead_s: float) -> httpx.Response:
        at = datetime.now(UTC) + timedelta(seconds=ahead_s)
        return api.post(path, json={"at": iso(at)})

    assert post(SKEW_S - 30).status_code == 201
    refused = post(SKEW_S + 30)
    assert refused.status_code == 400
    (problem,) = refused.json()["details"]
    assert (problem["field"], f"{SKEW_S} s" in problem["message"]) == ("at", True)
    for body in (
        {},
        {"at": None},
        {"at": "2026-01-01"},
        {"at": AT, "lastOfOld": -1},
        {"at": AT, "x": 1},
    ):
        assert api.post(path, json=body).status_code == 400, body


@both
def test_of_what_is_not_there(api: httpx.Client, path: str, plural: str) -> None:
    word = KINDS[plural].capitalize()
    nobodys = f"/v1/devices/{plural}/nobody/exchanges"
    asks: list[Callable[[], httpx.Response]] = [
        lambda: api.post(nobodys, json={"at": AT}),
        lambda: api.get(nobodys),
        lambda: api.delete(f"{nobodys}/{uuid4()}"),
    ]
    for ask in asks:
        answer = ask()
        assert (answer.status_code, answer.json()["message"]) == (404, f"{word} nobody not found")
    for exchange_id in (str(uuid4()), "1", uuid4().hex):
        answer = api.delete(f"{path}/{exchange_id}")
        assert answer.status_code == 404
        assert answer.json()["message"] == f"Exchange {exchange_id} not found"
    assert api.get(path).json() == []


def test_a_meter_is_no_vehicle_of_the_same_id(api: httpx.Client) -> None:
    for plural, stream in KINDS.items():
        assert api.post(f"/v1/devices/{plural}", json={f"{stream}Id": "both"}).status_code == 201
    made = api.post("/v1/devices/meters/both/exchanges", json={"at": AT}).json()
    assert api.get("/v1/devices/vehicles/both/exchanges").json() == []
    taken = f"both/exchanges/{made['exchangeId']}"
    assert api.delete(f"/v1/devices/vehicles/{taken}").status_code == 404
    assert api.delete(f"/v1/devices/meters/{taken}").status_code == 204


@both
def test_the_rollups_hear_of_it(
    api: httpx.Client, environment: dict[str, str], path: str, plural: str
) -> None:
    """Of an exchange that is noted or taken back, and of what a device is like."""
    device = path.removesuffix("/exchanges")

    def logged(method: str, path: str, body: dict[str, Any] | None = None) -> list[Any]:
        with connect(environment) as connection:
            connection.execute("DELETE FROM rollup_log")
            assert api.request(method, path, json=body).is_success
            log = "SELECT first::text, past::text FROM rollup_log WHERE stream = %s"
            return connection.execute(log, (KINDS[plural],)).fetchall()

    moment = [("2026-03-01 12:00:00.5+00", "2026-03-01 12:00:00.500001+00")]
    assert logged("POST", path, {"at": AT}) == moment
    (made,) = api.get(path).json()
    assert logged("DELETE", f"{path}/{made['exchangeId']}") == moment
    limit = {"meters": "capacityKw", "vehicles": "maxChargeKw"}[plural]
    for name in ("reportSeconds", "registerTolerance", "registerModulus", limit):
        assert logged("PATCH", device, {name: 7}) == [("-infinity", "infinity")], name
    assert logged("PATCH", device, {name: 7, "isActive": False}) == []


def test_figures_follow(api: httpx.Client, environment: dict[str, str]) -> None:
    """A meter at 812.2 is exchanged for one that begins at 3.0, and both count what they saw."""
    counts = (810.0, 811.1, 812.2, 3.4, 5.5, 5.6)
    readings = [
        Reading(START + timedelta(minutes=n), Decimal(str(kwh))) for n, kwh in enumerate(counts)
    ]
    fleet = ReferenceFleet({"X-M": Device(True, readings)}, {"X-V": Device(False)})
    fleet.sessions.append(Session("X-M", "X-V", START, START + timedelta(hours=1)))
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (0,))
        stored_fleets.load(connection, fleet)

    def total() -> float:
        window = {"startTime": iso(START), "endTime": iso(START + timedelta(hours=1))}
        body = api.get("/v1/analytics/performance/X-V", params=window).json()
        found: float = body["metrics"]["totalEnergyConsumedAc"]
        return found

    assert total() == 7.8  # a counter reset: 1.1 + 1.1 + 3.4 + 2.1 + 0.1
    path = "/v1/devices/meters/X-M/exchanges"
    exchange = {"at": iso(START + timedelta(seconds=150)), "lastOfOld": 812.5, "firstOfNew": 3}
    made = api.post(path, json=exchange).json()
    assert total() == 5.1  # 1.1 + 1.1 + 0.3 + 0.4 + 2.1 + 0.1
    assert api.delete(f"{path}/{made['exchangeId']}").status_code == 204
    assert total() == 7.8
