"""The health check of containers, as compose runs it, against servers with and without TLS."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import trustme

from devstack.ports import LOOPBACK, Ports
from tests.http_servers import serving

ROOT = Path(__file__).parents[2]


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        ready = self.path == "/health/ready"
        body = b'{"status":"ok"}' if ready else b'{"status":\n"unavailable"}'
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def health(context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = HTTPServer((LOOPBACK, 0), Health)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server) as port:
        yield port


def probe(url: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "serving.probe", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_a_process_that_is_ready_and_one_that_is_not() -> None:
    with health() as port:
        assert probe(f"http://{LOOPBACK}:{port}/health/ready") == (0, "")
        url = f"http://{LOOPBACK}:{port}/health/other"
        assert probe(url) == (1, f'error: {url}: 503 {{"status": "unavailable"}}\n')


def test_with_tls_the_name_of_the_certificate_does_not_matter() -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("fleet.example").configure_cert(context)
    with health(context) as port:
        assert probe(f"https://{LOOPBACK}:{port}/health/ready") == (0, "")
        assert probe(f"https://{LOOPBACK}:{port}/health/other")[0] == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_process_that_is_not_there(scheme: str) -> None:
    ports = Ports()
    try:
        url = f"{scheme}://{LOOPBACK}:{ports.take()}/health/ready"
        status, error = probe(url)
    finally:
        ports.close()
    assert status == 1 and error.startswith(f"error: {url}: ") and error.count("\n") == 1
