"""Whom a server believes what X-Forwarded-For and -Proto say, and how a request names it."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from serving.server import Config, ServerThread, listen

FORWARDED = {"X-Forwarded-For": "10.9.8.7", "X-Forwarded-Proto": "https"}


async def tell(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with who asked, how, and for which hosts."""
    hosts = [value.decode() for name, value in scope["headers"] if name == b"host"]
    told = {"client": scope["client"][0], "scheme": scope["scheme"], "hosts": hosts}
    await JSONResponse(told)(scope, receive, send)


@contextmanager
def serving(trusted_proxies: str) -> Iterator[int]:
    """A server's port."""
    with listen("127.0.0.1", 0, backlog=16) as listener:
        config = Config(
            tell, max_connections=16, kept_back=64, grace_s=1, trusted_proxies=trusted_proxies
        )
        thread = ServerThread(config, listener, "test server")
        try:
            yield listener.getsockname()[1]
        finally:
            thread.stop(within_s=5)


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8", "127.0.0.2,::1"])
def test_others_are_not_believed(trusted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with serving(trusted) as port:
        told = httpx.get(f"http://127.0.0.1:{port}", headers=FORWARDED).json()
    assert (told["client"], told["scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize("trusted", ["127.0.0.1", "10.1.1.1, 127.0.0.0/8"])
def test_a_trusted_proxy_is_believed(trusted: str) -> None:
    with serving(trusted) as port:
        url = f"http://127.0.0.1:{port}"
        told = httpx.get(url, headers=FORWARDED).json()
        assert (told["client"], told["scheme"]) == ("10.9.8.7", "https")
        forged = FORWARDED | {"X-Forwarded-For": "1.2.3.4, 10.9.8.7, 127.0.0.1"}
        assert httpx.get(url, headers=forged).json()["client"] == "10.9.8.7"


@pytest.mark.parametrize(
    ("request_line", "hosts"),
    [
        ("GET / HTTP/1.1\r\nHost: a", ["a"]),
        ("GET http://a/ HTTP/1.1\r\nHost: a", ["a"]),
        ("GET http://evil:80/?x HTTP/1.1\r\nHost: a", ["a", "evil:80"]),
        ("GET HTTP://evil/ HTTP/1.1\r\nA: b", ["evil"]),
        ("GET //evil/ HTTP/1.1\r\nHost: a", ["a"]),
    ],
)
def test_a_host_in_the_target_counts(request_line: str, hosts: list[str]) -> None:
    with serving("") as port, socket.create_connection(("127.0.0.1", port), 20) as client:
        client.sendall(f"{request_line}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["hosts"] == hosts
