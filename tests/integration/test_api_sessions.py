"""Charging sessions over HTTP: one at a time for a meter and for a vehicle, however many ask."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count

import httpx
import pytest

from tests.connections import connect
from tests.readings import iso
from tests.workers import wait_until

CLIENTS = 50
SECONDS_FOR_ALL = 10.0
_numbers = count(1)
DAY = datetime(2026, 1, 31, tzinfo=UTC)


def at(hours: float) -> str:
    return iso(DAY + timedelta(hours=hours))


@pytest.fixture
def pair(api: httpx.Client) -> dict[str, str]:
    """A meter and a vehicle nobody else uses."""
    number = next(_numbers)
    devices = {"meterId": f"M-{number}", "vehicleId": f"V-{number}"}
    assert api.post("/v1/devices/meters", json={"meterId": devices["meterId"]}).is_success
    assert api.post("/v1/devices/vehicles", json={"vehicleId": devices["vehicleId"]}).is_success
    return devices


def start(api: httpx.Client, **body: str) -> httpx.Response:
    return api.post("/v1/sessions/start", json=body)


def test_fifty_clients_one_meter(api: httpx.Client, pair: dict[str, str]) -> None:
    for number in range(CLIENTS):
        api.post("/v1/devices/vehicles", json={"vehicleId": f"{pair['vehicleId']}-{number}"})

    def one(number: int) -> int:
        body = pair | {"vehicleId": f"{pair['vehicleId']}-{number}"}
        return start(api, **body).status_code

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = Counter(clients.map(one, range(CLIENTS)))
    assert statuses == {201: 1, 409: CLIENTS - 1}
    assert time.monotonic() - began < SECONDS_FOR_ALL


@pytest.mark.parametrize(("table", "column"), [("meters", "meterId"), ("vehicles", "vehicleId")])
def test_starts_queue_up_at_the_devices_row(
    api: httpx.Client, environment: dict[str, str], pair: dict[str, str], table: str, column: str
) -> None:
    waiting = "SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted"
    waiting += " AND datname = current_database()"
    id_column = column.replace("Id", "_id")
    lock = f"SELECT FROM {table} WHERE {id_column} = %s FOR NO KEY UPDATE"
    with ThreadPoolExecutor(1) as client, connect(environment) as watcher:
        with connect(environment) as holder, holder.transaction():
            holder.execute(lock, (pair[column],))
            answer = client.submit(start, api, **pair)
            wait_until(lambda: watcher.execute(waiting).fetchone() == (), "the start waits")
            assert not answer.done()
        assert answer.result().status_code == 201


def test_crossing_starts_do_not_deadlock(api: httpx.Client, pair: dict[str, str]) -> None:
    other = {"meterId": pair["meterId"] + "x", "vehicleId": pair["vehicleId"] + "x"}
    api.post("/v1/devices/meters", json={"meterId": other["meterId"]})
    api.post("/v1/devices/vehicles", json={"vehicleId": other["vehicleId"]})
    crossings = [
        {"meterId": meter["meterId"], "vehicleId": vehicle["vehicleId"]}
        for meter in (pair, other)
        for vehicle in (pair, other)
    ] * 10
    with ThreadPoolExecutor(len(crossings)) as clients:
        statuses = Counter(clients.map(lambda body: start(api, **body).status_code, crossings))
    assert set(statuses) == {201, 409} and statuses[201] <= 2


def test_unknown_devices(api: httpx.Client, pair: dict[str, str]) -> None:
    answer = start(api, meterId="nobody", vehicleId=pair["vehicleId"])
    assert (answer.status_code, answer.json()["message"]) == (404, "Meter nobody not found")
    answer = start(api, meterId=pair["meterId"], vehicleId="nobody")
    assert (answer.status_code, answer.json()["message"]) == (404, "Vehicle nobody not found")


def test_sessions_are_half_open(api: httpx.Client, pair: dict[str, str]) -> None:
    past = start(api, **pair, startedAt=at(1), endedAt=at(2))
    assert past.status_code == 201
    assert past.json()["isActive"] is False
    for first, last in ((0, 1.5), (1.5, 3), (0, 3), (1.25, 1.75)):
        assert start(api, **pair, startedAt=at(first), endedAt=at(last)).status_code == 409
    assert start(api, **pair, startedAt=at(2), endedAt=at(3)).status_code == 201
    assert start(api, **pair, startedAt=at(0), endedAt=at(1)).status_code == 201
    assert start(api, **pair, startedAt=at(0.5)).status_code == 409
    assert start(api, **pair, startedAt=at(3)).status_code == 201
    assert start(api, **pair).status_code == 409


def test_a_session_can_follow_at_once(api: httpx.Client, pair: dict[str, str]) -> None:
    for _ in range(3):
        started = start(api, **pair)
        assert started.status_code == 201
        assert api.post(f"/v1/sessions/{started.json()['sessionId']}/end").status_code == 200


def test_an_end_before_the_moved_start_is_400(api: httpx.Client, pair: dict[str, str]) -> None:
    """The last session ended in this very second, so the next one starts where it did."""
    time.sleep(1.02 - time.time() % 1)
    first = start(api, **pair).json()
    assert api.post(f"/v1/sessions/{first['sessionId']}/end").status_code == 200
    answer = start(api, **pair, endedAt=first["startedAt"])
    assert answer.status_code == 400, answer.text
    assert [entry["field"] for entry in answer.json()["details"]] == ["endedAt"]


def test_ends(api: httpx.Client, pair: dict[str, str]) -> None:
    session = start(api, **pair, startedAt=at(5)).json()
    path = f"/v1/sessions/{session['sessionId']}/end"
    soon = iso(datetime.now(UTC) + timedelta(hours=1))
    assert api.post(path, json={"endedAt": at(4)}).status_code == 400
    assert api.post(path, json={"endedAt": soon}).status_code == 400
    assert api.post(path, json={"endedAt": "2026-01-31T06:00:00"}).status_code == 400
    ended = api.post(path, json={"endedAt": at(6)})
    assert ended.json() == session | {"endedAt": at(6), "isActive": False, "endReason": "ended"}
    assert api.post(path, json={"endedAt": at(7)}).status_code == 409
    unknown = "00000000-0000-4000-8000-000000000000"
    assert api.post(f"/v1/sessions/{unknown}/end").status_code == 404
    assert api.post("/v1/sessions/not-a-uuid/end").status_code == 404


def test_an_id_may_be_percent_encoded(api: httpx.Client, pair: dict[str, str]) -> None:
    session = start(api, **pair, startedAt=at(0), endedAt=at(1)).json()
    name = session["sessionId"]
    encoded = "".join(f"%{byte:02X}" for byte in name.encode())
    for way in (name.upper(), name.replace("-", "%2D"), encoded):
        assert api.get(f"/v1/sessions/{way}").json() == session
        assert api.patch(f"/v1/sessions/{way}", json={}).json() == session
        assert api.get(f"/v1/analytics/sessions/{way}").json()["sessionId"] == name
    for way in (name.replace("-", ""), f"%7B{name}%7D", name.replace("-", "%FF"), f"{name}%00"):
        answer = api.get(f"/v1/sessions/{way}")
        assert (answer.status_code, answer.json()["message"]) == (404, f"Session {way} not found")


def test_times_can_be_corrected(
    api: httpx.Client, environment: dict[str, str], pair: dict[str, str]
) -> None:
    before = start(api, **pair, startedAt=at(0), endedAt=at(1)).json()
    session = start(api, **pair, startedAt=at(5), endedAt=at(6)).json()
    path = f"/v1/sessions/{session['sessionId']}"

    def change(**body: object) -> httpx.Response:
        return api.patch(path, json=body)

    assert change().json() == session
    assert change(startedAt=at(4)).json() == session | {"startedAt": at(4)}
    assert change(endedAt=at(7)).json()["endedAt"] == at(7)
    reopened = change(endedAt=None, startedAt=at(1)).json()
    assert (reopened["isActive"], reopened["endReason"], reopened["startedAt"]) == (
        True,
        None,
        at(1),
    )
    assert change(startedAt=at(0.5)).status_code == 409
    assert change(startedAt=at(8), endedAt=at(7)).status_code == 400
    assert change(startedAt=None).status_code == 400
    assert change(meterId="M").status_code == 400
    soon = iso(datetime.now(UTC) + timedelta(hours=1))
    assert change(endedAt=soon).status_code == change(startedAt=soon).status_code == 400
    blocked = api.patch(f"/v1/sessions/{before['sessionId']}", json={"endedAt": None})
    assert blocked.status_code == 409, "the other one is still active"
    with connect(environment) as connection:
        connection.execute(
            "UPDATE charging_sessions SET ended_at = %s, timed_out = true WHERE session_id = %s",
            (at(6), session["sessionId"]),
        )
    assert api.get(path).json()["endReason"] == "timeout"
    assert change(startedAt=at(2)).json()["endReason"] == "timeout"
    assert change(endedAt=at(3)).json()["endReason"] == "ended"
    unknown = "00000000-0000-4000-8000-000000000000"
    assert api.patch(f"/v1/sessions/{unknown}", json={}).status_code == 404


def test_times_that_cannot_be(api: httpx.Client, pair: dict[str, str]) -> None:
    soon = iso(datetime.now(UTC) + timedelta(hours=1))
    assert start(api, **pair, startedAt=soon).status_code == 400
    assert start(api, **pair, startedAt=at(1), endedAt=soon).status_code == 400
    assert start(api, **pair, startedAt=at(2), endedAt=at(1)).status_code == 400
    assert start(api, **pair, endedAt=at(1)).status_code == 400
    assert start(api, **pair, startedAt="2026-01-31T06:00:00").status_code == 400


def test_search(api: httpx.Client, pair: dict[str, str]) -> None:
    ids = [
        start(api, **pair, startedAt=at(hour), endedAt=at(hour + 1)).json()["sessionId"]
        for hour in range(4)
    ]
    active = start(api, **pair, startedAt=at(10)).json()["sessionId"]

    def found(**query: str | int) -> list[str]:
        answer = api.get("/v1/sessions", params=query)
        assert answer.status_code == 200, answer.text
        return [session["sessionId"] for session in answer.json()]

    newest_first = [active, *reversed(ids)]
    assert found(vehicleId=pair["vehicleId"]) == newest_first
    assert found(meterId=pair["meterId"]) == newest_first
    assert found(meterId=pair["meterId"], vehicleId="nobody") == []
    assert found(meterId=pair["meterId"], startTime=at(1), endTime=at(3)) == [ids[2], ids[1]]
    assert found(meterId=pair["meterId"], startTime=at(99)) == [active]
    assert active in found()
    seen, path = [], f"/v1/sessions?meterId={pair['meterId']}&limit=2"
    while path:
        answer = api.get(path)
        seen += [session["sessionId"] for session in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert seen == newest_first
    actives = [session["sessionId"] for session in api.get("/v1/sessions/active").json()]
    assert active in actives and not set(ids) & set(actives)


def test_pages_go_on_where_they_ended_whatever_moves(
    api: httpx.Client, pair: dict[str, str]
) -> None:
    ids = [
        start(api, **pair, startedAt=at(hour), endedAt=at(hour + 0.5)).json()["sessionId"]
        for hour in range(6)
    ]
    first = api.get(f"/v1/sessions?meterId={pair['meterId']}&limit=2")
    moved = api.patch(
        f"/v1/sessions/{ids[4]}", json={"startedAt": at(-5), "endedAt": at(-4)}
    )  # the last of the first page becomes the last of all
    assert moved.status_code == 200
    second = api.get(first.links["next"]["url"] + "&endTime=" + at(9))
    assert [one["sessionId"] for one in first.json()] == [ids[5], ids[4]]
    assert [one["sessionId"] for one in second.json()] == [ids[3], ids[2]]


def test_an_after_that_no_page_ended_with_is_400(api: httpx.Client, pair: dict[str, str]) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    for path in ("/v1/sessions", "/v1/sessions/active"):
        for after in ("", "x", "1", unknown, f"x_{unknown}", f"{10**18 - 1}_{unknown}", "0_x"):
            answer = api.get(path, params={"after": after})
            assert answer.status_code == 400, after
            assert [entry["field"] for entry in answer.json()["details"]] == ["after"]
        assert api.get(path, params={"after": f"{-(10**16)}_{unknown}"}).json() == []


def test_an_after_of_the_release_before_goes_on_behind_its_session(
    api: httpx.Client, pair: dict[str, str]
) -> None:
    one, two = (
        start(api, **pair, startedAt=at(hour), endedAt=at(hour + 1)).json()["sessionId"]
        for hour in range(2)
    )
    found = api.get("/v1/sessions", params={"meterId": pair["meterId"], "after": two}).json()
    assert [session["sessionId"] for session in found] == [one]
