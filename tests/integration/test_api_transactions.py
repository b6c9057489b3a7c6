"""Sessions as chargers speak: said again and again, done once, and who is in the way is named."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.answers import check_problem
from tests.connections import connect, waiting_for_locks
from tests.readings import iso
from tests.workers import wait_until

AT_ONCE = 50
DAY = datetime(2026, 1, 31, tzinfo=UTC)
PAGE = (Path(__file__).parent.parent.parent / "docs" / "sessions.md").read_text()
LINE = re.compile(r"^    (\w+) (\S+) (?:({.*}) )?(\d{3}) ([{\[].*)$", re.MULTILINE)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOBODYS = "00000000-0000-4000-8000-000000000000"
INSERT = """
INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, transaction_id)
VALUES (%(meterId)s, %(vehicleId)s, %(startedAt)s, %(transactionId)s) RETURNING session_id::text
"""
_numbers = count(1)

Body = dict[str, Any]


def at(hours: float) -> str:
    return iso(DAY + timedelta(hours=hours))


def register(api: httpx.Client, meter: str, vehicle: str) -> Body:
    for kind, name in (("meter", meter), ("vehicle", vehicle)):
        assert api.post(f"/v1/devices/{kind}s", json={f"{kind}Id": name}).status_code == 201
    return {"meterId": meter, "vehicleId": vehicle}


@pytest.fixture
def said(api: httpx.Client) -> Body:
    """The start of a transaction, of devices nobody else uses."""
    number = next(_numbers)
    devices = register(api, f"meter-{number}", f"vehicle-{number}")
    return devices | {"transactionId": f"TX-{number}", "startedAt": at(0), "meterStart": 100.5}


def start(api: httpx.Client, body: Body) -> httpx.Response:
    return api.post("/v1/sessions/start", json=body)


def end(api: httpx.Client, **body: object) -> httpx.Response:
    return api.post("/v1/sessions/end", json=body)


def in_the_way(answer: httpx.Response) -> dict[str, str]:
    """The session that each field's entry in the details of a 409 names."""
    details = check_problem(answer, 409)["details"]
    assert all(set(entry) == {"field", "sessionId"} for entry in details)
    return {entry["field"]: entry["sessionId"] for entry in details}


def test_a_start_said_fifty_times_at_once_is_done_once(api: httpx.Client, said: Body) -> None:
    del said["startedAt"]
    with ThreadPoolExecutor(AT_ONCE) as clients:
        answers = list(clients.map(lambda _: start(api, said), range(AT_ONCE)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 200: AT_ONCE - 1}
    (session,) = {answer.text for answer in answers}
    assert json.loads(session).items() >= said.items()


def test_a_start_again_shows_the_session_as_it_is(api: httpx.Client, said: Body) -> None:
    session = start(api, said | {"connectorId": 2}).json()
    assert (session["connectorId"], session["meterStop"]) == ("2", None)
    api.post(f"/v1/sessions/{session['sessionId']}/end", json={"endedAt": at(1), "meterStop": 101})
    soon = iso(datetime.now(UTC) + timedelta(hours=1))
    for other in ({}, {"startedAt": soon, "meterStart": 7}, {"endedAt": at(-1), "meterStop": 0}):
        again = start(api, said | other)
        assert again.status_code == 200
        ended = {"endedAt": at(1), "isActive": False, "endReason": "ended", "meterStop": 101}
        assert again.json() == session | ended
    found = api.get("/v1/sessions", params={"transactionId": said["transactionId"]})
    assert found.json() == [again.json()]
    assert api.get("/v1/sessions?transactionId=none").json() == []


def test_a_transaction_is_of_one_meter_and_one_vehicle(api: httpx.Client, said: Body) -> None:
    session = start(api, said).json()["sessionId"]
    others = register(api, f"other {said['meterId']}", f"other {said['vehicleId']}")
    for other in (*({name: others[name]} for name in others), others, {"meterId": "nobody"}):
        assert in_the_way(start(api, said | other)) == {"transactionId": session}


@pytest.mark.parametrize("same", ["transactionId", "meterId", "vehicleId"])
@pytest.mark.parametrize("commits", [True, False])
def test_who_comes_second_is_told_what_the_first_committed(
    api: httpx.Client, environment: dict[str, str], said: Body, same: str, commits: bool
) -> None:
    """Even where the first one locked no device."""
    other = register(api, f"first {said['meterId']}", f"first {said['vehicleId']}")
    other["transactionId"] = f"first {said['transactionId']}"
    with ThreadPoolExecutor(1) as client, connect(environment) as holder:
        with holder.transaction(force_rollback=not commits):
            (session,) = holder.execute(INSERT, said | other | {same: said[same]}).fetchall()
            answer = client.submit(start, api, said)
            wait_until(lambda: waiting_for_locks(environment) == 1, "the second one waits")
        if commits:
            assert in_the_way(answer.result()) == {same: session[0]}
        else:
            assert answer.result().status_code == 201


def test_an_end_is_said_again(api: httpx.Client, said: Body) -> None:
    session = start(api, said).json()
    name = said["transactionId"]
    path = f"/v1/sessions/{session['sessionId']}/end"
    true_end = {"transactionId": name, "endedAt": at(2), "meterStop": 112.25}
    for wrong, field in (
        ({"endedAt": at(-1)}, "endedAt"),
        ({"endedAt": iso(datetime.now(UTC) + timedelta(hours=1))}, "endedAt"),
    ):
        problem = check_problem(end(api, **true_end | wrong), 400)
        assert [entry["field"] for entry in problem["details"]] == [field]
    other = api.post(path, json=true_end | {"transactionId": "another"})
    assert in_the_way(other) == {"transactionId": session["sessionId"]}
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: end(api, **true_end), range(8)))
    ended = session | true_end | {"isActive": False, "endReason": "ended"}
    for answer in (*answers, api.post(path, json={"transactionId": name, "meterStop": 0})):
        assert (answer.status_code, answer.json()) == (200, ended)
    for body in ({}, {"endedAt": at(2)}):
        assert in_the_way(api.post(path, json=body)) == {"endedAt": session["sessionId"]}
    other = api.post(path, json={"transactionId": "another"})
    assert in_the_way(other) == {"transactionId": session["sessionId"]}
    assert check_problem(end(api, transactionId="no such"), 404)["message"].endswith("not found")
    nothing = api.post("/v1/sessions/end", json={"endedAt": at(2)})
    assert check_problem(nothing, 400)["details"][0]["field"] == "transactionId"


def test_a_session_that_timed_out_takes_its_true_end(
    api: httpx.Client, environment: dict[str, str], said: Body
) -> None:
    session = start(api, said).json()["sessionId"]
    with connect(environment) as connection:
        timed_out = "UPDATE charging_sessions SET ended_at = %s, timed_out = true"
        connection.execute(timed_out + " WHERE session_id = %s", (at(1), session))
    assert start(api, said).json()["endReason"] == "timeout"
    devices = {name: said[name] for name in ("meterId", "vehicleId")}
    later = start(api, devices | {"startedAt": at(2), "endedAt": at(3)}).json()["sessionId"]
    path = f"/v1/sessions/{session}/end"
    assert in_the_way(api.post(path, json={"endedAt": at(2)})) == {"endedAt": session}
    too_late = end(api, transactionId=said["transactionId"], endedAt=at(2.5))
    assert in_the_way(too_late) == {"meterId": later, "vehicleId": later}
    true_end = {"transactionId": said["transactionId"], "endedAt": at(2), "meterStop": 101.0}
    ended = api.post(path, json=true_end)
    assert ended.json().items() >= (true_end | {"endReason": "ended"}).items()
    late = end(api, transactionId=said["transactionId"], endedAt=at(1.5), meterStop=102)
    assert late.json() == ended.json(), "it has had its true end"


def test_a_409_names_the_sessions_of_both_devices(api: httpx.Client, said: Body) -> None:
    others = register(api, f"other {said['meterId']}", f"other {said['vehicleId']}")
    mine, theirs = (
        start(api, {**devices, "startedAt": at(1), "endedAt": at(2)}).json()["sessionId"]
        for devices in (
            {"meterId": said["meterId"], "vehicleId": others["vehicleId"]},
            {"meterId": others["meterId"], "vehicleId": said["vehicleId"]},
        )
    )
    both = {"meterId": mine, "vehicleId": theirs}
    assert in_the_way(start(api, said)) == both
    earlier = start(api, said | {"endedAt": at(1), "meterStop": 200}).json()["sessionId"]
    for wanted in ({"endedAt": at(1.5)}, {"endedAt": None}):
        answer = api.patch(f"/v1/sessions/{earlier}", json=wanted)
        assert in_the_way(answer) == both
        names = f"Meter {said['meterId']} and vehicle {said['vehicleId']} are in a session"
        assert answer.json()["message"].startswith(names)


def test_what_the_register_showed_can_be_corrected(
    api: httpx.Client, environment: dict[str, str], said: Body
) -> None:
    """And the rollups hear of the edge it changes."""
    path = f"/v1/sessions/{start(api, said).json()['sessionId']}"
    log = (
        "SELECT stream, devices[1], first::text, past::text FROM rollup_log ORDER BY first, stream"
    )

    def change(**body: object) -> tuple[Body, list[Any]]:
        with connect(environment) as connection:
            connection.execute("DELETE FROM rollup_log")
            answer = api.patch(path, json=body)
            assert answer.status_code == 200, answer.text
            return answer.json(), connection.execute(log).fetchall()

    def edge(first: str, past: str) -> list[Any]:
        kinds = ("meter", "vehicle")
        return [(kind, said[f"{kind}Id"], f"{first}+00", f"{past}+00") for kind in kinds]

    at_start = edge("2026-01-30 23:59:59.999999", "2026-01-31 00:00:00.000001")
    at_end = edge("2026-01-31 00:59:59.999999", "2026-01-31 01:00:00.000001")
    refused = api.patch(path, json={"meterStop": 101})
    assert check_problem(refused, 400)["details"][0]["field"] == "meterStop"
    changed, logged = change(meterStart=None, connectorId="left")
    assert (changed["meterStart"], changed["connectorId"], logged) == (None, "left", at_start)
    assert change(endedAt=at(1))[0]["meterStop"] is None
    changed, logged = change(meterStop=101, connectorId=None)
    assert (changed["meterStop"], changed["connectorId"], logged) == (101, None, at_end)
    assert change(meterStart=100.5, meterStop=101.5)[1] == at_start + at_end
    assert change(meterStart=100.5, connectorId=0)[1] == []
    assert change(meterStart=101.75)[1] == at_start, "a register may have rolled over"
    changed, logged = change(endedAt=None)
    assert (changed["meterStop"], logged[0][3]) == (None, "infinity")
    assert change(meterStart=None)[1] == at_start


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        *(("transactionId", wrong) for wrong in ("", "x" * 65, "a\nb", "\ud800", 7)),
        *(("connectorId", wrong) for wrong in ("", "x" * 65, "a\x00", -1, 1.5, True)),
        *(("meterStart", wrong) for wrong in (-0.5, "100", True)),
        *(("meterStop", wrong) for wrong in (-0.5, 200)),
    ],
)
def test_what_no_charger_may_say_is_400(
    api: httpx.Client, said: Body, field: str, wrong: object
) -> None:
    body = said | ({} if wrong == 200 else {"endedAt": at(1)}) | {field: wrong}
    answer = api.post(
        "/v1/sessions/start",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
    )
    fields = [entry["field"] for entry in check_problem(answer, 400)["details"]]
    assert fields == [field] or (wrong == "\ud800" and fields == ["body"])


def test_each_request_of_the_page_is_answered_as_it_says(api: httpx.Client) -> None:
    for number in "12":
        register(api, f"M-{number}", f"V-{number}")
    lines = LINE.findall(PAGE)
    assert len(lines) == len(re.findall(r"^    \S", PAGE, re.MULTILINE)) == 7
    for method, path, body, status, shown in lines:
        answer = api.request(method, path, json=json.loads(body) if body else None)
        assert answer.status_code == int(status), (path, answer.text)
        found, wanted = json.loads(UUID.sub("…", answer.text)), json.loads(shown)
        if isinstance(wanted, list):
            (found,), (wanted,) = found, wanted
        assert found.items() >= wanted.items(), path
