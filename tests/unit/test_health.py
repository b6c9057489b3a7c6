"""A worker's probes are answered whatever else is on its port."""

import json
import socket
from contextlib import ExitStack
from urllib.error import HTTPError
from urllib.request import urlopen

from devstack.ports import LOOPBACK
from ingest_worker.health import MAX_CONNECTIONS, Status, served


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
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
