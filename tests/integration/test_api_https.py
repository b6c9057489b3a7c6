"""`python -m api` with a certificate: HTTPS and nothing else, renewed while it runs."""

import shutil
import socket
import ssl
from pathlib import Path

import httpx
import pytest

from devstack.ports import LOOPBACK
from tests.api_process import ApiProcess
from tests.authority import Authority
from tests.workers import command, wait_until

EXPIRY = "energy_api_certificate_expiry_timestamp_seconds"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def certified(environment: dict[str, str], files: tuple[str, str]) -> dict[str, str]:
    return environment | {"APP_TLS_CERTFILE": files[0], "APP_TLS_KEYFILE": files[1]}


def ends(authority: Authority, port: int) -> int:
    """When the certificate ends that a new connection is shown, in Unix time."""
    with (
        socket.create_connection((LOOPBACK, port)) as plain,
        authority.trusted().wrap_socket(plain, server_hostname=LOOPBACK) as client,
    ):
        return int(ssl.cert_time_to_seconds(str((client.getpeercert() or {})["notAfter"])))


def shown(client: httpx.Client) -> float:
    """The metric of the certificate's end."""
    lines = client.get("/metrics").text.splitlines()
    (line,) = [line for line in lines if line.startswith(f"{EXPIRY} ")]
    return float(line.removeprefix(EXPIRY))


def test_it_speaks_https_and_takes_renewed_files_up(
    environment: dict[str, str], authority: Authority
) -> None:
    files = authority.issue(LOOPBACK, days=1)
    with ApiProcess(certified(environment, files)) as api:
        port = api.http.base_url.port
        assert port
        assert f"serving on https://{LOOPBACK}:{port}\n" in api.log
        with httpx.Client(
            base_url=f"https://{LOOPBACK}:{port}", verify=authority.trusted(), timeout=20
        ) as kept:
            assert kept.get("/health/ready").status_code == 200
            before = ends(authority, port)
            assert shown(kept) == before
            for new, old in zip(authority.issue(LOOPBACK), files, strict=True):
                shutil.copy(new, old)
            wait_until(lambda: ends(authority, port) > before, "it is taken up")
            after = ends(authority, port)
            assert shown(kept) == after
            with pytest.raises(httpx.TransportError):  # plain HTTP
                api.http.get("/health/live")
            with socket.create_connection((LOOPBACK, port)):  # and one that says nothing
                assert api.interrupt() == 0
        assert f"took up APP_TLS_CERTFILE={files[0]}, which ends " in api.log
        assert "Traceback" not in api.log and " ERROR " not in api.log


def test_without_a_certificate_there_is_no_metric_of_it(environment: dict[str, str]) -> None:
    with ApiProcess(environment) as api:
        assert EXPIRY not in api.http.get("/metrics").text
        assert "serving on http://" in api.log


def test_a_bad_file_ends_it_before_it_serves(
    environment: dict[str, str], authority: Authority
) -> None:
    certificate, _ = authority.issue(LOOPBACK)
    _, key = authority.issue(LOOPBACK)
    for files, why in (
        ((certificate, key), f"APP_TLS_KEYFILE={key}: the key is not that of APP_TLS_CERTFILE="),
        ((key, key), f"APP_TLS_CERTFILE={key}: there is no certificate in it (PEM)"),
        (("/nowhere", key), "APP_TLS_CERTFILE=/nowhere: No such file or directory"),
    ):
        done = command(certified(environment, files), "api")
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith(f"error: {why}") and done.stderr.count("\n") == 1
