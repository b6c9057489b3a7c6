"""What the running API tells browsers: headers on every kind of answer, also where a proxy speaks
HTTPS for it; and who a replay is said to be by.
"""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from serving.headers import HEADERS
from tests.api_process import ApiProcess
from tests.kafka import send
from tests.keys import bearer, make_key
from tests.readings import meter_value
from tests.workers import WorkerProcess, books, wait_until

REJECTED = "/v1/telemetry/rejected"
FORWARDED = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https"}
HSTS = "Strict-Transport-Security"
METER = "/v1/telemetry/meters/M"
OWN = ("Cache-Control", "Content-Security-Policy")
"""What a page says for itself."""


@pytest.fixture(scope="module")
def quarantined(environment: dict[str, str]) -> dict[str, str]:
    """Four readings that were too old for a worker, and are not for the API."""
    old = datetime.now(UTC) - timedelta(days=20)
    send(environment, *(meter_value(f"OLD-{number}", old) for number in range(4)))
    with WorkerProcess({**environment, "MAX_READING_AGE_DAYS": "10"}) as worker:
        wait_until(lambda: books(environment)["total"]["rejected"] == 4, "all are rejected")
        assert worker.terminate() == 0
    return environment


@pytest.fixture(scope="module")
def api(quarantined: dict[str, str]) -> Iterator[httpx.Client]:
    """It knows no proxy, and demands no key."""
    with ApiProcess(quarantined) as process:
        process.http.post("/v1/devices/meters", json={"meterId": "M"}).raise_for_status()
        yield process.http


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/telemetry/stats", 200),
        (f"{METER}/history", 200),
        (f"{METER}/history?format=csv", 200),
        ("/v1/devices/meters?limit=0", 400),
        ("/nope", 404),
        ("/v1/telemetry/ingest", 405),
        (f"{REJECTED}/1/raw", 200),
        ("/health", 200),
        ("/metrics", 200),
        ("/openapi.json", 200),
        ("/", 200),
        ("/static/theme.css", 200),
        ("/docs", 200),
        ("/docs/assets/swagger-ui.css", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_answer_has_them(api: httpx.Client, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    names = [name.decode().lower() for name, _ in answer.headers.raw]
    for name, value in HEADERS.items():
        assert names.count(name.lower()) == 1
        assert answer.headers[name] == value or name in OWN
    if path.startswith(("/v1", "/health", "/metrics")):
        assert {name: answer.headers[name] for name in OWN} == {name: HEADERS[name] for name in OWN}
    assert not any(name.startswith("access-control") for name in names)


def test_what_is_no_request_is_refused_with_them(api: httpx.Client) -> None:
    with socket.create_connection((api.base_url.host, api.base_url.port or 0), 20) as client:
        client.sendall(b"no request\r\n\r\n")
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert "HTTP/1.1 400 " in head
    assert all(f"\r\n{name}: {value}" in head for name, value in HEADERS.items())


def test_https_is_what_a_trusted_proxy_says(quarantined: dict[str, str], api: httpx.Client) -> None:
    key = make_key(quarantined, "operator")
    trusted = {**quarantined, "APP_TRUSTED_PROXIES": "127.0.0.0/8"}
    with ApiProcess(trusted) as process:
        for client, headers, secure in (
            (process.http, FORWARDED, True),
            (process.http, {}, False),
            (api, FORWARDED, False),
        ):
            url = f"{client.base_url}/v1/session"  # the client itself would keep the cookie
            answer = httpx.post(url, json={"key": key["key"]}, headers=headers)
            cookie = answer.headers["Set-Cookie"]
            assert ("; secure" in cookie.lower()) is secure
            assert "; httponly" in cookie.lower() and "; samesite=strict" in cookie.lower()
            assert (HSTS in answer.headers) is secure


def test_a_replay_is_by_the_key_or_the_address(
    quarantined: dict[str, str], api: httpx.Client
) -> None:
    key = make_key(quarantined, "operator")
    ids = [one["id"] for one in api.get(REJECTED).json()]
    with ExitStack() as undo:
        trusting = {**quarantined, "APP_TRUSTED_PROXIES": "127.0.0.1"}
        proxied = undo.enter_context(ApiProcess(trusting)).http
        replays: tuple[tuple[httpx.Client, dict[str, str], str], ...] = (
            (api, {}, "api@127.0.0.1"),
            (api, FORWARDED, "api@127.0.0.1"),
            (proxied, FORWARDED, "api@10.9.8.7"),
            (proxied, FORWARDED | bearer(key), key["name"]),
        )
        for rejected_id, (client, headers, who) in zip(ids, replays, strict=True):
            answer = client.post(f"{REJECTED}/{rejected_id}/replay", headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.json()["record"]["resolvedBy"] == who
