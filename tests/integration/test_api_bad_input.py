"""Whatever is wrong with a request, the answer is the contract's error body and never a 500."""

import contextlib
import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import pytest

from tests.answers import check_problem
from tests.readings import meter, vehicle

JSON = {"Content-Type": "application/json"}
MEBIBYTE = 1024 * 1024
INGEST = "/v1/telemetry/ingest"
BATCH = "/v1/telemetry/ingest/batch"
METERS = "/v1/devices/meters"
START = "/v1/sessions/start"
TWICE = b'{"streamType":"x","streamType":"meter","payload":{}}'
FIGURES = "/v1/analytics/performance/V"
DAYS_40 = "?startTime=2026-01-01T00:00:00Z&endTime=2026-02-10T00:00:00Z"
BACKWARDS = "?startTime=2026-01-02T00:00:00Z&endTime=2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (INGEST, b"", "body"),
        (INGEST, b"not json", "body"),
        (INGEST, b'{"streamType":"meter","payload":{"a":"\xff"}}', "body"),
        (INGEST, b"[" * 100_000, "body"),
        (INGEST, b"null", "body"),
        (INGEST, b'{"streamType":"meter"}', "payload"),
        (INGEST, b'{"payload":{}}', "streamType"),
        (INGEST, {"streamType": "bus", "payload": {}}, "streamType"),
        (INGEST, meter() | {"extra": 1}, "extra"),
        (INGEST, {"streamType": "meter", "payload": None}, "payload"),
        (INGEST, {"streamType": "meter", "payload": [meter()["payload"]]}, "payload"),
        (INGEST, meter(meterId="a\x00"), "payload.meterId"),
        (INGEST, meter(meterId=""), "payload.meterId"),
        (INGEST, meter(kwhConsumedAc="1"), "payload.kwhConsumedAc"),
        (INGEST, meter(kwhConsumedAc=True), "payload.kwhConsumedAc"),
        (INGEST, meter(voltage=500.1), "payload.voltage"),
        (INGEST, vehicle(soc=None), "payload.soc"),
        (INGEST, vehicle(batteryTemp=-50.1), "payload.batteryTemp"),
        (INGEST, meter(timestamp="2026-01-31T12:00:00"), "payload.timestamp"),
        (INGEST, meter(timestamp="2999-01-31T12:00:00Z"), "payload.timestamp"),
        (INGEST, meter(timestamp="1999-01-31T12:00:00Z"), "payload.timestamp"),
        (INGEST, meter(note="x" * 1_000_000), "payload"),
        (BATCH, {"records": []}, "records"),
        (BATCH, {"records": {}}, "records"),
        (BATCH, {"records": None}, "records"),
        (BATCH, {"records": [meter()] * 10_001}, "records"),
        (BATCH, {"records": [meter(voltage=-1)]}, "records[0].payload.voltage"),
        (BATCH, {"records": [None]}, "records[0]"),
        (BATCH, b'{"records":[{}', "body"),
        (BATCH, b"[" * 100_000, "body"),
        (BATCH, [meter()], "body"),
        (BATCH, b"null", "body"),
        (BATCH, {}, "records"),
        (BATCH, {"records": [meter()], "extra": 1}, "extra"),
        (BATCH, {"record": [meter()]}, "record"),
        (BATCH, b'{"records":[1],"records":[]}', "records"),
        (BATCH, b'{"records":[%b]}' % TWICE, "records[0].streamType"),
        (INGEST, TWICE, "streamType"),
        (METERS, b"{", "body"),
        (METERS, b'{"meterId":"\\ud800"}', "body"),
        (METERS, b'{"meterId":"M","capacityKw":1e400}', "body"),
        (METERS, b'{"meterId":"M","capacityKw":NaN}', "body"),
        (METERS, [], "body"),
        (METERS, {}, "meterId"),
        (METERS, {"meterId": "M", "metadata": {"a": "\x00"}}, "metadata"),
        (METERS, {"meterId": "M", "metadata": {"\x00": "a"}}, "metadata"),
        (METERS, {"meterId": "M", "location": "\x00"}, "location"),
        (METERS, {"meterId": "M", "colour": "red"}, "colour"),
        ("/v1/devices/vehicles", {"vehicleId": "V", "vin": "x" * 18}, "vin"),
        (START, {"meterId": "M"}, "vehicleId"),
        (START, {"meterId": "M", "vehicleId": "V\x00"}, "vehicleId"),
        (START, {"meterId": "M", "vehicleId": "V", "startedAt": 5}, "startedAt"),
    ],
)
def test_bad_bodies_are_400(api: httpx.Client, path: str, body: Any, field: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    problem = check_problem(api.post(path, content=content, headers=JSON), 400)
    assert field in [entry["field"] for entry in problem["details"]]
    assert all(entry["message"] for entry in problem["details"])
    assert problem["path"] == path


@pytest.mark.parametrize(
    ("path", "field"),
    [
        (f"{METERS}?limit=0", "limit"),
        (f"{METERS}?limit=1001", "limit"),
        (f"{METERS}?limit=ten", "limit"),
        (f"{METERS}?limit=5.0", "limit"),
        (f"{METERS}?limit=1_0", "limit"),
        (f"{METERS}?limit=%205", "limit"),
        (f"{METERS}?limit=%2B5", "limit"),
        (f"{METERS}?limit=%D9%A5", "limit"),
        (f"{METERS}?limit=5&limit=5", "limit"),
        (f"{METERS}?limit=5&li%6Dit=6", "limit"),
        (f"{METERS}?after=%FF", "query"),
        (f"{METERS}?{'&'.join(f'a{n}=1' for n in range(101))}", "query"),
        ("/v1/telemetry/rejected?resolved=1", "resolved"),
        ("/v1/telemetry/rejected?after=1e3", "after"),
        (f"{METERS}?after=%00", "after"),
        (f"{METERS}?colour=red", "colour"),
        ("/v1/sessions?vehicleId=%00", "vehicleId"),
        ("/v1/sessions?after=x", "after"),
        (f"/v1/sessions{BACKWARDS}", "query"),
        ("/v1/sessions?startTime=2026-01-31T12:00:00", "startTime"),
        (FIGURES + DAYS_40, "startTime"),
        (FIGURES + BACKWARDS, "startTime"),
        (f"{FIGURES}?startTime=2999-01-01T00:00:00Z", "startTime"),
        (f"{FIGURES}?startTime=2026-01-31T12:00:00", "startTime"),
        (f"{FIGURES}?startTime=2026-01-31T12:00:00+01:00", "startTime"),
        (f"{FIGURES}?endTime=yesterday", "endTime"),
        (f"{FIGURES}?endTime=0001-01-01T00:00:00Z", "startTime"),
        (f"{FIGURES}?endTime=%00", "endTime"),
    ],
)
def test_bad_queries_are_400(api: httpx.Client, path: str, field: str) -> None:
    problem = check_problem(api.get(path), 400)
    assert [entry["field"] for entry in problem["details"]] == [field]


def test_a_plus_that_became_a_space_is_explained(api: httpx.Client) -> None:
    time = "2026-01-31T12:00:00"
    problem = check_problem(api.get(f"{FIGURES}?startTime={time}+02:00"), 400)
    assert "%2B" in problem["details"][0]["message"]
    problem = check_problem(api.get(f"{FIGURES}?startTime={time}"), 400)
    assert "%2B" not in problem["details"][0]["message"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INGEST, "POST"),
        ("GET", START, "POST"),
        ("PUT", METERS, "GET, HEAD, POST"),
        ("DELETE", f"{METERS}/M", "GET, HEAD, PATCH"),
        ("POST", "/health", "GET, HEAD"),
        ("TRACE", "/health", "GET, HEAD"),
    ],
)
def test_wrong_methods_are_405(api: httpx.Client, method: str, path: str, allowed: str) -> None:
    answer = api.request(method, path)
    check_problem(answer, 405)
    assert answer.headers["Allow"] == allowed


@pytest.mark.parametrize(
    "path", ["/nope", "/v1", f"{METERS}/", f"{METERS}/a/b", "/docs/", "/docs/assets/x"]
)
def test_unknown_routes_are_404(api: httpx.Client, path: str) -> None:
    check_problem(api.get(path), 404)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        JSON | {"Content-Encoding": "gzip"},
    ],
)
def test_other_content_types_are_415(api: httpx.Client, headers: dict[str, str]) -> None:
    for path in (INGEST, BATCH, METERS, START):
        check_problem(api.post(path, content=b"{}", headers=headers), 415)


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b" " * MEBIBYTE


def test_large_bodies_are_413(api: httpx.Client) -> None:
    for path in (INGEST, BATCH, METERS, START):
        check_problem(api.post(path, content=b" " * 20 * MEBIBYTE, headers=JSON), 413)
        check_problem(api.post(path, content=chunks(20), headers=JSON), 413)
    for path in (INGEST, BATCH):
        check_problem(api.post(path, content=chunks(8), headers=JSON), 400)
    for path in (METERS, START):
        check_problem(api.post(path, content=chunks(1), headers=JSON), 413)
        check_problem(api.post(path, content=b" " * 128 * 1024, headers=JSON), 400)
    check_problem(api.post("/nope", content=b" " * 20 * MEBIBYTE, headers=JSON), 404)


def test_a_client_that_closes_gets_its_answer(api: httpx.Client) -> None:
    """Some clients send all of the body before they look for an answer."""
    address = (api.base_url.host, api.base_url.port)
    for path, status in ((INGEST, 413), ("/nope", 404)):
        with contextlib.closing(HTTPConnection(*address)) as client:
            headers = JSON | {"Connection": "close"}
            client.request("POST", path, b" " * 20 * MEBIBYTE, headers)
            answer = client.getresponse()
            assert (answer.status, json.load(answer)["statusCode"]) == (status, status)


@pytest.mark.parametrize(
    ("path", "length"), [(BATCH, 9 * MEBIBYTE), ("/nope", 5), (METERS, 200_000)]
)
def test_a_refusal_before_100_continue_closes(api: httpx.Client, path: str, length: int) -> None:
    """The client sends no body after it, and its next request would be taken for one."""
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), 20) as client:
        headers = f"Expect: 100-continue\r\nContent-Length: {length}"
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"\r\nconnection: close" in head
    assert json.loads(content)["statusCode"] == (404 if path == "/nope" else 413)


def test_only_the_field_around_the_records_is_blamed(api: httpx.Client) -> None:
    for batch, field in (({"records": [meter()], "extra": 1}, "extra"), ([meter()], "body")):
        problem = check_problem(api.post(BATCH, json=batch), 400)
        assert [entry["field"] for entry in problem["details"]] == [field]


def test_a_record_with_a_key_twice_is_told_apart(api: httpx.Client) -> None:
    good = json.dumps(meter()).encode()
    body = b'{"records":[%b,%b]}' % (good, TWICE)
    answer = api.post(BATCH, content=body, headers=JSON)
    assert answer.status_code == 202
    (error,) = answer.json()["errors"]
    assert error["message"] == "records[1].streamType: each of them must be meter or vehicle"


def test_every_bad_field_has_an_entry(api: httpx.Client) -> None:
    record = meter(voltage=-1, kwhConsumedAc=None, timestamp="now")
    problem = check_problem(api.post(INGEST, json=record), 400)
    fields = [entry["field"] for entry in problem["details"]]
    assert fields == ["payload.kwhConsumedAc", "payload.voltage", "payload.timestamp"]


def test_head_answers_like_get(api: httpx.Client) -> None:
    answer = api.head(METERS)
    assert (answer.status_code, answer.content) == (200, b"")


def test_what_is_no_http_is_400(api: httpx.Client) -> None:
    check_problem(api.request("BREW", "/health"), 400)


def test_metrics_go_by_template(api: httpx.Client) -> None:
    for name in ("a", "b", "c%2Fd"):
        api.get(f"{METERS}/{name}")
    text = api.get("/metrics").text
    assert 'route="/v1/devices/meters/{id}",status="404"' in text
    assert "/v1/devices/meters/a" not in text
