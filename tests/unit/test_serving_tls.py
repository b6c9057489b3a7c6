"""HTTPS: what begins a connection, which certificate answers it, and how that is renewed."""

import logging
import shutil
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest
from starlette.responses import PlainTextResponse

from devstack.ports import LOOPBACK
from schemas.settings import SettingsError
from serving import handshake
from serving.certificate import Certificate
from serving.server import Config, ServerThread, listen
from tests.authority import Authority
from tests.workers import wait_until

MAX_CONNECTIONS = 8
SHORT_S = 0.3
PATIENCE_S = 20.0
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Site:
    """A server that greets, its certificate, and the authority that signs it."""

    def __init__(self, directory: Path) -> None:
        self.authority = Authority(directory)
        self.files = self.authority.issue(LOOPBACK, common_name="the first")
        self.certificate = Certificate(*self.files)
        listener = listen(LOOPBACK, 0, backlog=128)
        self.port: int = listener.getsockname()[1]
        config = Config(
            PlainTextResponse("hello"),
            max_connections=MAX_CONNECTIONS,
            kept_back=64,
            grace_s=1,
            certificate=self.certificate,
        )
        self.thread = ServerThread(config, listener, "test site")
        self.connections = self.thread.server.server_state.connections

    def plain(self) -> socket.socket:
        """A connection on which nothing was said yet."""
        return socket.create_connection((LOOPBACK, self.port), timeout=PATIENCE_S)

    def client(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection that speaks TLS."""
        context = context or self.authority.trusted()
        return context.wrap_socket(self.plain(), server_hostname=LOOPBACK)

    def taken(self) -> int:
        """The connections for which this process has a file descriptor, the clients' aside."""
        found = psutil.Process().net_connections("tcp4")
        ours = [each for each in found if each.laddr.port == self.port and each.raddr]
        return len(ours)

    def greets(self) -> bool:
        """Whether a new client that trusts the authority is answered."""
        with self.client() as client:
            return answered(client)

    def replace(self, certificate: str, key: str) -> None:
        """Put these files in the place of the certificate's."""
        for new, old in zip((certificate, key), self.files, strict=True):
            Path(new).replace(old)


def answered(client: ssl.SSLSocket) -> bool:
    client.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\nhello"):
        piece = client.recv(1000)
        if not piece:
            return False
        answer += piece
    return True


def shown_to(client: ssl.SSLSocket) -> str:
    """The common name of the certificate that the client was shown."""
    certificate: Any = client.getpeercert()
    subject = dict(one for (one,) in certificate["subject"])
    return str(subject["commonName"])


def ended(client: socket.socket) -> bool:
    """Whether the server ends this connection."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.thread.stop(within_s=5)


def test_clients_that_begin_no_handshake_shut_nobody_out(site: Site) -> None:
    with ExitStack() as undo:
        silent = [undo.enter_context(site.plain()) for _ in range(4 * MAX_CONNECTIONS)]
        wait_until(lambda: site.taken() == MAX_CONNECTIONS, "as many as there may be")
        assert site.greets()
        assert ended(silent[0])


def test_half_a_handshake_ends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "HANDSHAKE_TIMEOUT_S", SHORT_S)
    with site.plain() as client:
        client.sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        assert ended(client)
    wait_until(lambda: not site.connections, "it is forgotten")


@pytest.mark.parametrize("sent", [REQUEST, b"\x00" * 1000, b"\x16\x03\x01\x00\x05hello", b""])
def test_what_is_no_tls_ends_without_a_word(
    site: Site, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), site.plain() as client:
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        assert ended(client)
        with site.plain() as client:  # goes with a reset
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: not site.connections, "both are forgotten")
        assert site.greets()
    assert [line for line in caplog.records if line.levelno > logging.INFO] == []


def test_a_client_of_tls_1_1_is_refused(site: Site) -> None:
    old = site.authority.trusted()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"EOF|alert"):
        site.client(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with site.client(old) as client:
        assert client.version() == "TLSv1.2"


def test_renewed_files_are_taken_up_and_connections_go_on(site: Site) -> None:
    with site.client() as before:
        assert shown_to(before) == "the first"
        end = site.certificate.ends_at
        site.replace(*site.authority.issue(LOOPBACK, common_name="the second"))
        site.certificate.look_again()
        with site.client() as after:
            assert shown_to(after) == "the second"
            assert answered(after) and answered(before)
        assert site.certificate.ends_at >= end


def test_a_key_that_follows_its_certificate_later(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = site.authority.issue(LOOPBACK, common_name="the second")
    whole = Path(certificate).read_bytes()
    for half in (whole[: len(whole) // 2], whole, whole):
        Path(site.files[0]).write_bytes(half)
        site.certificate.look_again()
        with site.client() as client:
            assert shown_to(client) == "the first"
    Path(site.files[1]).unlink()
    site.certificate.look_again()
    assert site.greets()
    shutil.copy(key, site.files[1])
    site.certificate.look_again()
    with site.client() as client:
        assert shown_to(client) == "the second"
    assert [line.getMessage().partition("/")[0] for line in caplog.records] == [
        "degraded: APP_TLS_CERTFILE: the one before is still in use: APP_TLS_CERTFILE=",
        "degraded: APP_TLS_CERTFILE: the one before is still in use: APP_TLS_KEYFILE=",
        "degraded: APP_TLS_CERTFILE: the one before is still in use: APP_TLS_KEYFILE=",
    ]


def test_one_that_has_ended_is_used_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(LOOPBACK, days=-1)
    certificate = Certificate(*files)
    certificate.look_again()
    (line,) = caplog.messages
    assert line.startswith("degraded: APP_TLS_CERTFILE: it has ended 20")
    for new, old in zip(authority.issue(LOOPBACK), files, strict=True):
        Path(new).replace(old)
    caplog.set_level(logging.INFO)
    certificate.look_again()
    assert caplog.messages[-1] == "APP_TLS_CERTFILE: fine"


def encrypted(key: str) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    private = pem.load_pem_private_key(Path(key).read_bytes(), None)
    how = pem.BestAvailableEncryption(b"secret")
    form = (pem.Encoding.PEM, pem.PrivateFormat.PKCS8, how)
    Path(key).write_bytes(private.private_bytes(*form))


@pytest.mark.parametrize(
    ("variable", "broken", "why"),
    [
        ("APP_TLS_CERTFILE", "gone", "No such file or directory"),
        ("APP_TLS_CERTFILE", "directory", "Is a directory"),
        ("APP_TLS_CERTFILE", "junk", "there is no certificate in it (PEM)"),
        ("APP_TLS_CERTFILE", "empty", "there is no certificate in it (PEM)"),
        ("APP_TLS_KEYFILE", "gone", "No such file or directory"),
        ("APP_TLS_KEYFILE", "directory", "Is a directory"),
        ("APP_TLS_KEYFILE", "junk", "there is no private key in it (PEM)"),
        ("APP_TLS_KEYFILE", "other", "the key is not that of APP_TLS_CERTFILE="),
        ("APP_TLS_KEYFILE", "encrypted", "the key is encrypted; it has to be"),
    ],
)
def test_files_that_cannot_be_used_are_told_in_one_line(
    tmp_path: Path, variable: str, broken: str, why: str
) -> None:
    authority = Authority(tmp_path)
    files = authority.issue(LOOPBACK)
    file = Path(files[variable == "APP_TLS_KEYFILE"])
    if broken in ("gone", "directory"):
        file.unlink()
    match broken:
        case "directory":
            file.mkdir()
        case "junk":
            file.write_bytes(b"\xffjunk")
        case "empty":
            file.write_bytes(b"")
        case "other":
            shutil.copy(authority.issue(LOOPBACK)[1], file)
        case "encrypted":
            encrypted(str(file))
    with pytest.raises(SettingsError) as refused:
        Certificate(*files)
    text = str(refused.value)
    assert text.startswith(f"{variable}={file}: {why}")
    assert "\n" not in text and "secret" not in text
