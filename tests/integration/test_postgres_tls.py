"""A PostgreSQL on a network: what is demanded of it, and what is said when it is not so."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from devstack.ports import LOOPBACK
from sql.migrate import migrate
from tests.api_process import ApiProcess
from tests.authority import Authority
from tests.conftest import create_database, empty_environment
from tests.connections import connect
from tests.kafka import send
from tests.probes import reasons
from tests.readings import meter_value
from tests.secured_postgres import SECRET, SecuredPostgres, secured_postgres
from tests.workers import WorkerProcess, command, counted, wait_until


@pytest.fixture(scope="module")
def postgres() -> Iterator[SecuredPostgres]:
    with secured_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def topics(services: dict[str, str], postgres: SecuredPostgres) -> dict[str, str]:
    """Topics, and an empty database of the secured server that has the same name as one of ours."""
    environment = empty_environment(services)
    create_database(postgres.named("scram"), environment["DB_DATABASE"])
    return environment


def certificate_of_ours(authority: Authority, role: str) -> dict[str, str]:
    certificate, key = authority.issue(common_name=role)
    return {"DB_SSLCERT": certificate, "DB_SSLKEY": key, "DB_REQUIRE_AUTH": "none"}


def test_worker_and_api_work_by_verified_tls(
    topics: dict[str, str], postgres: SecuredPostgres
) -> None:
    """By SCRAM and by certificate alone; whatever libpq would take from the environment."""
    misleading = {"PGHOSTADDR": "127.0.0.9", "PGSSLROOTCERT": "/nowhere", "PGREQUIREAUTH": "none"}
    by_password = topics | postgres.named("scram", **misleading)
    ours = certificate_of_ours(postgres.authority, "cert")
    by_certificate = topics | postgres.named("cert", DB_PASSWORD="", **ours)
    plain = by_password | {"DB_HOST": LOOPBACK}
    done = command(by_password, "sql", "migrate")
    assert done.returncode == 0, done.stderr
    send(topics, meter_value("A"))
    with WorkerProcess(by_certificate) as worker, ApiProcess(by_password) as api:
        wait_until(lambda: counted(plain)["stored"] == 1, "it is stored")
        answer = api.http.get("/v1/devices/meters/A/state")
        assert answer.status_code == 200, answer.text
        assert answer.json()["meterId"] == "A"
        with postgres.connect() as connection:
            sessions = connection.execute(
                "SELECT usename, bool_and(ssl) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
                " WHERE usename IN ('scram', 'cert') GROUP BY 1 ORDER BY 1"
            ).fetchall()
        assert sessions == [("cert", True), ("scram", True)]
        assert worker.terminate() == 0


SAID = {
    "wrong password": (
        {"DB_PASSWORD": "n0t-the-secret"},
        "wrong password for the role scram, or no such role (DB_USERNAME, DB_PASSWORD)",
    ),
    "no password": ({"DB_PASSWORD": ""}, "the server asks for a password, DB_PASSWORD is empty"),
    "unknown authority": (
        {"DB_SSLROOTCERT": "{other}"},
        "the server's certificate is not signed by the authority of DB_SSLROOTCERT={other}, or has",
    ),
    "other name": (
        {"DB_HOST": LOOPBACK},
        'the server\'s certificate is for other names than DB_HOST=127.0.0.1: "localhost"',
    ),
    "md5": (
        {"DB_USERNAME": "md5"},
        "the server asked for md5, DB_REQUIRE_AUTH=scram-sha-256 forbids it",
    ),
    "clear text": (
        {"DB_USERNAME": "password"},
        "the server asked for the password in clear text, DB_REQUIRE_AUTH=scram-sha-256 forbids it",
    ),
    "nothing asked": (
        {"DB_USERNAME": "trust"},
        "the server asked for no password, DB_REQUIRE_AUTH=scram-sha-256 forbids it",
    ),
    "a password, and none may be given": (
        {"DB_REQUIRE_AUTH": "none"},
        "the server asked for SASL, DB_REQUIRE_AUTH=none forbids it",
    ),
    "no certificate": (
        {"DB_USERNAME": "cert", "DB_REQUIRE_AUTH": "none"},
        "the server asks for a certificate (DB_SSLCERT, DB_SSLKEY)",
    ),
    "a certificate of nobody's": (
        {"DB_USERNAME": "cert", "OURS": "other"},
        "the server does not accept our certificate (DB_SSLCERT={certificate}): unknown ca",
    ),
    "a certificate of somebody else's": (
        {"DB_USERNAME": "cert", "OURS": "another role"},
        "the certificate of DB_SSLCERT={certificate} is not one for the role cert (DB_USERNAME)",
    ),
    "without TLS": (
        {"DB_USERNAME": "only_tls", "DB_SSLMODE": "disable"},
        "the server's pg_hba.conf has no line for DB_USERNAME=only_tls, DB_DATABASE={database} from"
        " here with no encryption (DB_SSLMODE=disable)",
    ),
}
"""What is wrong: the variables that make it so, and what is said."""


@pytest.mark.parametrize("what", SAID)
def test_what_is_wrong_is_said_in_plain_words(
    topics: dict[str, str], postgres: SecuredPostgres, what: str
) -> None:
    variables, words = SAID[what]
    other = Authority(postgres.certificates, f"other-{what.replace(' ', '-')}")
    signers = {"other": (other, "cert"), "another role": (postgres.authority, "scram")}
    signer = signers.get(variables.get("OURS", ""))
    ours = certificate_of_ours(*signer) if signer else {}
    fields = {
        "other": str(other.file),
        "certificate": ours.get("DB_SSLCERT", ""),
        "database": topics["DB_DATABASE"],
    }
    changed = {name: value.format(**fields) for name, value in variables.items()}
    check_said_by_all(topics | postgres.named("scram", **ours) | changed, words.format(**fields))


def test_a_server_without_tls(services: dict[str, str], topics: dict[str, str]) -> None:
    verified = {"DB_SSLMODE": "require"}
    words = "the server speaks no TLS, DB_SSLMODE=require demands it"
    check_said_by_all(topics | services | verified, words)


def check_said_by_all(environment: dict[str, str], words: str) -> None:
    """A command ends with it; worker and API wait, and say it in their logs and probes."""
    done = command(environment, "sql", "migrate")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {words}"), done.stderr
    outputs = [done.stderr]
    with WorkerProcess(environment) as worker, ApiProcess(environment, ready=False) as api:
        worker.says(f"not ready: database: {words}")
        assert reasons(worker)["database"].startswith(words)
        api.says(f"not ready: PostgreSQL at {environment['DB_HOST']}", words)
        answer = api.http.get("/health/ready")
        assert answer.status_code == 503 and words in answer.json()["message"]
        outputs += [worker.log, api.log, answer.text]
    for output in outputs:
        assert "Traceback" not in output
        assert environment["DB_PASSWORD"] == "" or environment["DB_PASSWORD"] not in output


def test_a_password_that_is_changed_while_processes_run(
    topics: dict[str, str], postgres: SecuredPostgres
) -> None:
    with postgres.connect() as connection:
        connection.execute(f"CREATE ROLE fickle SUPERUSER LOGIN PASSWORD '{SECRET}'".encode())
        hba = postgres.directory / "pg_hba.conf"
        hba.write_text(hba.read_text() + f"host all fickle {LOOPBACK}/32 scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
        environment = topics | postgres.named("fickle")
        with connect(environment | {"DB_HOST": LOOPBACK}) as ours:
            migrate(ours)
        with ApiProcess(environment) as api:
            connection.execute("ALTER ROLE fickle PASSWORD 'another'")
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'fickle'"
            )
            wait_until(
                lambda: "wrong password for the role fickle" in api.http.get("/health").text, "said"
            )
            connection.execute(f"ALTER ROLE fickle PASSWORD '{SECRET}'".encode())
            wait_until(
                lambda: api.http.get("/health/ready").status_code == 200, "it is ready again"
            )


@contextmanager
def rogue(request: bytes) -> Iterator[tuple[int, bytearray]]:
    """A server without TLS that asks for the password in the way of `request`.

    Gives its port and whatever it was told.
    """
    heard = bytearray()
    with socket.create_server((LOOPBACK, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(ConnectionResetError):
                    while data := client.recv(4096):
                        heard.extend(data)
                        no_tls = data[4:8] in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
                        client.sendall(b"N" if no_tls else request)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], heard
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


CLEARTEXT = b"R\x00\x00\x00\x08\x00\x00\x00\x03"
MD5 = b"R\x00\x00\x00\x0c\x00\x00\x00\x05salt"


@pytest.mark.parametrize(("request_bytes", "asked"), [(CLEARTEXT, "clear text"), (MD5, "md5")])
def test_a_rogue_server_does_not_learn_the_password(request_bytes: bytes, asked: str) -> None:
    with rogue(request_bytes) as (port, heard):
        environment = {"DB_HOST": LOOPBACK, "DB_PORT": str(port), "DB_PASSWORD": SECRET}
        done = command(environment, "sql", "status")
        assert done.returncode == 1 and asked in done.stderr, done.stderr
        assert b"postgres" in heard  # it was talked to
        assert SECRET.encode() not in heard and b"md5" not in heard
