"""A worker's probes are answered whatever else is on its port."""

import json
import socket
from contextlib import ExitStack
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr

from devstack.ports import LOOPBACK
from ingest_worker.health import MAX_CONNECTIONS, Status, served


def ask(port: int, path: str, **headers: str) -> tuple[int, str]:
    request = Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_what_a_probe_is_told() -> None:
    status = Status()
    with served(status, LOOPBACK, 0) as port:
        assert ask(port, "/health/live")[0] == 200
        code, text = ask(port, "/health/ready")
        assert (code, json.loads(text)) == (
            503,
            {"status": "unavailable", "reasons": {"start": "starting"}},
        )
        status.works("start")
        status.degraded("a topic", "it is compacted")
        code, text = ask(port, "/health/ready")
        degraded = {"status": "degraded", "reasons": {}, "degraded": {"a topic": "it is compacted"}}
        assert (code, json.loads(text)) == (200, degraded)
        code, text = ask(port, "/metrics")
        assert code == 200 and "energy_ingest_ready 1.0" in text
        assert ask(port, "/")[0] == 404


def test_clients_that_send_half_a_request_shut_no_probe_out() -> None:
    with served(Status(), LOOPBACK, 0) as port, ExitStack() as undo:
        for _ in range(3 * MAX_CONNECTIONS):
            client = undo.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /health/live HTTP/1.1\r\nA: ")
        assert ask(port, "/health/live")[0] == 200


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        first = taken.getsockname()[1]
        with served(Status(), LOOPBACK, first) as port:
            assert port > first
            assert ask(port, "/health/live")[0] == 200


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_a_host_that_is_not_this_machine_is_named(host: str) -> None:
    with pytest.raises(OSError, match=f"^METRICS_HOST={host}: "), served(Status(), host, 0):
        pass


@pytest.mark.parametrize(
    ("header", "opens"),
    [
        ("Bearer t0ken", True),
        ("bearer  t0ken ", True),
        ("", False),
        ("t0ken", False),
        ("Basic t0ken", False),
        ("Bearer t0ke", False),
        ("Bearer t0kenn", False),
        ("Bearer ", False),
        ("Bearer t\xf6ken", False),
    ],
)
def test_the_token_opens_metrics_and_details(header: str, opens: bool) -> None:
    status = Status()
    with served(status, LOOPBACK, 0, SecretStr("t0ken")) as port:
        code, text = ask(port, "/metrics", Authorization=header)
        assert (code, "energy_ingest_ready" in text) == ((200, True) if opens else (401, False))
        code, text = ask(port, "/health/ready", Authorization=header)
        reasons = {"reasons": {"start": "starting"}} if opens else {}
        assert (code, json.loads(text)) == (503, {"status": "unavailable", **reasons})
        code, text = ask(port, "/health/live", Authorization=header)
        assert (code, "secondsSinceTurn" in text) == (200, opens)


def test_a_client_without_the_token_is_told_how_to_bring_it() -> None:
    with served(Status(), LOOPBACK, 0, SecretStr("t0ken")) as port:
        with pytest.raises(HTTPError) as refused:
            urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20)
        with refused.value as error:
            assert error.headers["WWW-Authenticate"] == "Bearer"
            assert json.load(error) == {"message": "METRICS_TOKEN is demanded"}


@pytest.mark.parametrize(
    ("host", "token", "warnings"),
    [("0.0.0.0", None, 1), ("0.0.0.0", "t", 0), ("0.0.0.0", "", 1), (LOOPBACK, None, 0)],
)
def test_metrics_for_strangers_are_warned_of(
    caplog: pytest.LogCaptureFixture, host: str, token: str | None, warnings: int
) -> None:
    with served(Status(), host, 0, SecretStr(token) if token is not None else None):
        pass
    said = [line for line in caplog.messages if "METRICS_TOKEN" in line]
    assert len(said) == warnings, caplog.messages
