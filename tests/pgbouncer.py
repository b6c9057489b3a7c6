"""PgBouncer before a test's PostgreSQL, with its defaults and a pool_mode of the test's."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, SUPERUSER, UNPRIVILEGED_USER
from devstack.processes import last_lines, spawned
from tests.connections import conninfo
from tests.debian import program
from tests.rights import API, OWNER, administrator, role
from tests.workers import PATIENCE_S, wait_until

MISSING = "these tests need PgBouncer: install the package pgbouncer"


@contextmanager
def pgbouncer(
    environment: dict[str, str], pool_mode: str, **settings: object
) -> Iterator[dict[str, str]]:
    """A running PgBouncer; yields the environment with its address. `settings` are its own."""
    roles = (
        environment,
        administrator(environment),
        *(role(environment, one) for one in (API, OWNER)),
    )
    passwords = {
        one.get("DB_USERNAME", SUPERUSER): one.get("DB_PASSWORD", PASSWORD) for one in roles
    }
    ports = Ports()
    pooled = environment | {"DB_HOST": LOOPBACK, "DB_PORT": str(ports.take())}
    lines = {
        "listen_addr": LOOPBACK,
        "listen_port": pooled["DB_PORT"],
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "pool_mode": pool_mode,
        **settings,
    }
    server = f"host={environment['DB_HOST']} port={environment['DB_PORT']}"
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        users = directory / "users.txt"
        users.write_text("".join(f'"{user}" "{word}"\n' for user, word in passwords.items()))
        written = "".join(f"{name} = {value}\n" for name, value in lines.items())
        file = directory / "pgbouncer.ini"
        file.write_text(f"[databases]\n* = {server}\n[pgbouncer]\nauth_file = {users}\n{written}")
        with (directory / "log").open("wb") as log:
            process = spawned(
                [program("pgbouncer", "pgbouncer", missing=MISSING), str(file)],
                user=UNPRIVILEGED_USER if os.geteuid() == 0 else None,
                directory=directory,
                log=log,
            )
        try:
            wait_until(lambda: process.poll() is not None or _answers(pooled), "PgBouncer answers")
            assert process.poll() is None, last_lines(directory / "log")
            yield pooled
        finally:
            process.terminate()
            process.wait(PATIENCE_S)
            ports.close()


def _answers(pooled: dict[str, str]) -> bool:
    try:
        psycopg.connect(conninfo(pooled)).close()
    except psycopg.OperationalError:
        return False
    return True
