"""What clients may do to a server: bounds in time, size and number, over real connections."""

import asyncio
import json
import resource
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from devstack.ports import LOOPBACK
from serving import limits, protocol
from serving.certificate import Certificate
from serving.limits import MAX_HEAD_BYTES, MAX_HEADERS, MAX_PIPELINED
from serving.server import Config, ServerThread, listen
from tests.authority import Authority
from tests.workers import wait_until

SHORT_S = 0.3
"""A time limit, in a test that waits for its end."""
PATIENCE_S = 20.0
BIG = b"x" * 50_000_000
OK = b"HTTP/1.1 200 OK"


class Application:
    """Echoes a body at `/`, holds requests to `/held` until `release`, sends BIG at `/big`.

    `/early` answers before it looks at the body, `/headers` adds how many there are.
    """

    def __init__(self) -> None:
        self.release = threading.Event()
        self.held = threading.Semaphore(0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, content = scope["path"], scope["path"].encode()
        if path == "/held":
            self.held.release()
            await asyncio.to_thread(self.release.wait, PATIENCE_S)
        elif path == "/big":
            content = BIG
        elif path != "/early":
            message = await receive()
            while message["type"] == "http.request":
                content += message["body"]
                if not message.get("more_body"):
                    break
                message = await receive()
        if path == "/headers":
            content += b"%d" % len(scope["headers"])
        headers = [(b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})


class Client:
    """One connection to the server."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        if context:
            self.socket = context.wrap_socket(self.socket, server_hostname=LOOPBACK)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, end: bytes) -> bytes:
        """What comes, up to and with `end`."""
        data = b""
        while not data.endswith(end):
            piece = self.socket.recv(1)
            assert piece, data
            data += piece
        return data

    def rest(self) -> bytes:
        """What comes until the server closes."""
        data = bytearray()
        while piece := self.socket.recv(65536):
            data += piece
        return bytes(data)

    def asks(self, path: str = "/") -> bytes:
        """The answer to an ordinary request."""
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return self.until(f"\r\n\r\n{path}".encode())


class Server:
    """A server of Application."""

    def __init__(self, max_connections: int, authority: Authority | None) -> None:
        self.application = Application()
        listener = listen("127.0.0.1", 0, backlog=128)
        self.port: int = listener.getsockname()[1]
        self.secure = authority is not None
        self._client_side = authority.trusted() if authority else None
        config = Config(
            self.application,
            max_connections=max_connections,
            kept_back=64,
            grace_s=1,
            certificate=Certificate(*authority.issue(LOOPBACK)) if authority else None,
        )
        self._server = ServerThread(config, listener, "test server")
        self.connections = self._server.server.server_state.connections
        self._undo = ExitStack()

    def client(self) -> Client:
        """A new connection, closed at the end of the test."""
        client = Client(self.port, self._client_side)
        self._undo.callback(client.socket.close)
        return client

    def close(self) -> None:
        self.application.release.set()
        self._undo.close()
        self._server.stop(within_s=5)


Serving = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(params=["http", "https"])
def serving(request: pytest.FixtureRequest, tmp_path: Path) -> Serving:
    """Makes a server that speaks either; within the bounds they are the same."""
    authority = Authority(tmp_path) if request.param == "https" else None

    @contextmanager
    def make(max_connections: int = 100) -> Iterator[Server]:
        server = Server(max_connections, authority)
        try:
            yield server
        finally:
            server.close()

    return make


@pytest.fixture
def server(serving: Serving) -> Iterator[Server]:
    with serving() as server:
        yield server


def refused(answer: bytes, status: int) -> str:
    """The message of a whole answer that is the error body and closes the connection."""
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert b"\r\nconnection: close" in head
    body: dict[str, Any] = json.loads(content)
    assert set(body) == {"statusCode", "message", "details", "timestamp", "path"}
    assert body["statusCode"] == status
    return str(body["message"])


def post(*headers: str) -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET http://x HTTP/1.1\r\n\r\n",
        b"CONNECT a:443 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        post("Content-Length: five"),
        post("Content-Length: -5"),
        post("Content-Length: +5"),
        post("Content-Length: " + "9" * 30),
        post("Content-Length: 5", "Content-Length: 6"),
        post("Content-Length: 5", "Transfer-Encoding: chunked"),
        post("Transfer-Encoding: gzip"),
        post("Transfer-Encoding: chunked") + b"five\r\n",
        post("Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 50_000,
        post("Transfer-Encoding: chunked") + b"0\r\nA: " + b"x" * 100_000,
    ],
)
def test_what_is_no_request_is_400(server: Server, request_bytes: bytes) -> None:
    client = server.client()
    client.send(request_bytes)
    assert refused(client.rest(), 400)
    assert OK in server.client().asks()


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD_BYTES,
        b"GET /" + b"x" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\nA: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: x\r\n" * (MAX_HEADERS + 1) + b"\r\n",
    ],
)
def test_a_large_head_is_431(server: Server, head: bytes) -> None:
    client = server.client()
    client.send(head)
    refused(client.rest(), 431)


def test_heads_within_the_bounds_pass(server: Server) -> None:
    client = server.client()
    client.send(b"GET / HTTP/1.1\r\n" + b"A: %b\r\n" % (b"x" * 300) * (MAX_HEADERS - 1) + b"\r\n")
    client.until(b"\r\n\r\n/")
    client.send(b"GET http://x/absolute HTTP/1.1\r\n\r\n")
    client.until(b"\r\n\r\n/absolute")
    client.send(b"GET /old HTTP/1.0\r\n\r\n")
    assert client.rest().endswith(b"\r\n\r\n/old")


@pytest.mark.parametrize(
    ("name", "sent", "status"),
    [
        ("HEAD_TIMEOUT_S", b"GET / HTTP/1.1\r\nHost: x\r\n", 408),
        ("HEAD_TIMEOUT_S", b"", None),
        ("HEAD_TIMEOUT_S", b"\r\n", None),
        ("BODY_GRACE_S", post("Content-Length: 5") + b"four", 408),
        ("BODY_GRACE_S", post("Transfer-Encoding: chunked") + b"5\r\nfour", 408),
    ],
)
def test_half_a_request_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, sent: bytes, status: int | None
) -> None:
    monkeypatch.setattr(protocol, name, SHORT_S)
    client = server.client()
    client.send(sent)
    answer = client.rest()
    if status is None:
        assert answer == b""
    else:
        refused(answer, status)


def test_a_slow_body_that_goes_on_is_read(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pieces come further apart than the grace, and are large enough to earn their time."""
    monkeypatch.setattr(protocol, "BODY_GRACE_S", SHORT_S)
    monkeypatch.setattr(protocol, "MIN_BODY_BYTES_PER_S", 1_000)
    client = server.client()
    client.send(post("Content-Length: 20000") + b"x" * 10_000)
    idle = server.client()
    idle.send(post("Content-Length: 20000"))
    refused(idle.rest(), 408)  # by now the grace is over
    client.send(b"x" * 10_000)
    assert client.until(b"x" * 20_000).startswith(OK)


def test_an_idle_connection_ends(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.server.IDLE_TIMEOUT_S", SHORT_S)
    with serving() as server:
        client = server.client()
        client.asks()
        assert client.rest() == b""


def test_an_answer_that_nobody_takes_ends(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_STALL_S", SHORT_S)
    client = server.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.send(b"GET /big HTTP/1.1\r\n\r\n")
    client.until(b"\r\n\r\n")
    wait_until(lambda: not server.connections, "the server gives the connection up")


def test_a_large_answer_arrives_whole_before_the_connection_closes(server: Server) -> None:
    client = server.client()
    client.send(b"GET /big HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert client.rest().partition(b"\r\n\r\n")[2] == BIG


@pytest.mark.parametrize("half", [b"", b"GET / HTTP/1.1\r\n", post("Content-Length: 5") + b"x"])
def test_half_sent_requests_shut_nobody_out(serving: Serving, half: bytes) -> None:
    with serving(max_connections=8) as server:
        for _ in range(30):
            server.client().send(half)
        assert OK in server.client().asks()


def test_idle_connections_give_way_before_half_sent_ones(serving: Serving) -> None:
    with serving(max_connections=8) as server:
        half = server.client()
        half.send(post("Content-Length: 4") + b"t")
        idle = [server.client() for _ in range(7)]
        for client in idle:
            client.asks()
        for _ in range(7):
            server.client().asks()
        assert [client.rest() for client in idle] == [b""] * 7
        half.send(b"his")
        assert half.until(b"\r\n\r\n/this").startswith(OK)


def test_requests_that_are_being_answered_are_never_thrown_out(serving: Serving) -> None:
    with serving(max_connections=8) as server:
        busy = [server.client() for _ in range(8)]
        for client in busy:
            client.send(b"GET /held HTTP/1.1\r\n\r\n")
            assert server.application.held.acquire(timeout=PATIENCE_S)
        if server.secure:  # without keys nothing can be said
            with pytest.raises(OSError, match=r"EOF|reset"):
                server.client()
        else:
            answer = server.client().rest()
            assert "Too many connections" in refused(answer, 503)
            assert b"\r\nretry-after: " in answer
        server.application.release.set()
        for client in busy:
            assert client.until(b"\r\n\r\n/held").startswith(OK)


def test_an_answer_before_100_continue_closes(server: Server) -> None:
    client = server.client()
    client.send(post("Expect: 100-continue", "Content-Length: 5").replace(b" / ", b" /early "))
    answer = client.rest()
    assert answer.startswith(OK) and b"\r\nconnection: close\r\n" in answer


def test_a_body_after_100_continue_keeps_the_connection(server: Server) -> None:
    client = server.client()
    client.send(post("Expect: 100-continue", "Content-Length: 5"))
    assert client.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert client.until(b"\r\n\r\n/hello").startswith(OK)
    assert client.asks().startswith(OK)


def test_an_unread_body_does_not_become_the_next_request(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = server.client()
    client.send(
        post("Content-Length: 20").replace(b" / ", b" /early ") + b"GET / HTTP/1.1\r\n\r\n.."
    )
    client.until(b"\r\n\r\n/early")
    assert client.asks().startswith(OK)
    monkeypatch.setattr("serving.bodies.MAX_DRAINED_BYTES", 10)
    client.send(post("Content-Length: 1000").replace(b" / ", b" /early ") + b"x" * 500)
    assert b"\r\nconnection: close\r\n" in client.until(b"\r\n\r\n")


def test_an_upgrade_is_answered_and_closes(server: Server) -> None:
    """Nothing is upgraded to; the parser would take no further request."""
    client = server.client()
    client.send(b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    answer = client.rest()
    assert answer.startswith(OK) and b"\r\nconnection: close\r\n" in answer


def test_trailers_are_no_headers(server: Server) -> None:
    client = server.client()
    head = post("Transfer-Encoding: chunked").replace(b" / ", b" /headers ")
    client.send(head + b"1\r\nx\r\n0\r\nA: b\r\n\r\n")
    assert client.until(b"\r\n\r\n/headersx2").startswith(OK)
    assert client.asks().startswith(OK)


def test_requests_sent_ahead_are_answered_in_order_up_to_a_limit(server: Server) -> None:
    client = server.client()
    names = [b"/%d" % number for number in range(100, 100 + MAX_PIPELINED)]
    client.send(b"".join(b"GET %b HTTP/1.1\r\n\r\n" % name for name in names))
    for name in names:
        assert client.until(b"\r\n\r\n" + name).startswith(OK)
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 100)
    answers = client.rest()
    assert answers.count(OK) == MAX_PIPELINED + 1


def test_garbage_sent_ahead_ends_the_connection_after_the_answer(server: Server) -> None:
    client = server.client()
    client.send(b"GET /held HTTP/1.1\r\n\r\ngarbage\r\n\r\n")
    server.application.release.set()
    answer = client.rest()
    assert answer.startswith(OK) and answer.endswith(b"\r\n\r\n/held")


def test_connections_leave_descriptors_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, expected in ((200, 116), (100_000, 512), (50, limits.MIN_CONNECTIONS), (-1, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert limits.connection_limit(512, kept_back=84) == expected
