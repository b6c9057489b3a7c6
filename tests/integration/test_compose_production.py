"""What docker-compose.production.yml runs once, in its order, on a PostgreSQL of the test's own.

Its superuser runs the file of roles as the image's script does; from then on, the services' own
roles and secrets are used.
"""

import os
import secrets
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from devstack.ports import LOOPBACK, Ports
from devstack.postgres import PASSWORD, SUPERUSER, Postgres
from tests.compose import ROOT, read_merged

SERVICES = read_merged()["services"]
DATABASE = "energy_ingestion"
SECRETS = "/run/secrets/"
ROLES = ["energy_api", "energy_owner", "energy_reader", "energy_worker"]


TUNED = dict(word.split("=", 1) for word in SERVICES["postgres"]["command"][1:] if word != "-c")


class Tuned(Postgres):
    """One that has the settings of the compose file."""

    def settings(self) -> dict[str, str]:
        return super().settings() | TUNED


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A new PostgreSQL with an empty database; nobody but its superuser is known."""
    ports = Ports()
    with tempfile.TemporaryDirectory(prefix="production-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = Tuned(ports.take(), directory)
        server.reach()
        server.prepare()
        server.start()
        try:
            server.create_database(DATABASE)
            (directory / "secrets").mkdir()
            for role in ROLES:
                (directory / "secrets" / role).write_text(f"{secrets.token_urlsafe()}'\\\n")
            yield server
        finally:
            server.stop()
            ports.close()


def here(text: str, server: Postgres) -> str:
    """Paths of the containers as paths of the test."""
    directory = server.directory.parent
    return text.replace(SECRETS, f"{directory}/secrets/").replace("/keys/", f"{directory}/")


def make_roles(server: Postgres) -> subprocess.CompletedProcess[str]:
    """What the image of PostgreSQL does with the file when the database is made."""
    (mount,) = [one for one in SERVICES["postgres"]["volumes"] if one.startswith("./deploy")]
    command = [str(server.programs / "psql"), "-v", "ON_ERROR_STOP=1", "--no-psqlrc"]
    command += ["--host", LOOPBACK, "--port", str(server.port), "--username", SUPERUSER]
    return subprocess.run(
        [*command, "--no-password", "--dbname", DATABASE],
        env=os.environ | {"PGPASSWORD": PASSWORD},
        input=here((ROOT / mount.split(":")[0]).read_text(), server),
        capture_output=True,
        text=True,
        check=False,
    )


def run(name: str, server: Postgres) -> subprocess.CompletedProcess[str]:
    """A service's command with its settings."""
    settings = {"DB_HOST": LOOPBACK, "DB_PORT": str(server.port), "DB_DATABASE": DATABASE}
    for variable in ("DB_USERNAME", "DB_PASSWORD_FILE"):
        settings[variable] = here(SERVICES[name]["environment"][variable], server)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DB_")}
    command = [here(word, server) for word in SERVICES[name]["command"][1:]]
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
    )


def connect(server: Postgres, role: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=LOOPBACK,
        port=server.port,
        dbname=DATABASE,
        user=role,
        password=Path(here(SECRETS + role, server)).read_text().removesuffix("\n"),
        require_auth="scram-sha-256",
    )


def test_the_server_takes_the_settings_of_the_compose_file(server: Postgres) -> None:
    assert len(TUNED) > 4
    with server.connect() as connection:
        for name, value in TUNED.items():
            (shown,) = connection.execute(f"SHOW {name}".encode()).fetchone() or ("",)
            assert shown == value


def test_the_services_own_roles_are_enough(server: Postgres) -> None:
    made = make_roles(server)
    assert made.returncode == 0, made.stderr
    for name in ("migrate", "grant", "keys", "keys"):
        done = run(name, server)
        assert done.returncode == 0, f"{name}: {done.stderr}"
    for role in ROLES:
        with connect(server, role) as connection:
            attributes = connection.execute(
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
                " FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            assert attributes == (False,) * 5
            connection.execute("SELECT FROM meters")
    file = server.directory.parent / "operator"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with connect(server, "energy_owner") as connection:
        assert connection.execute("SELECT name, role FROM api_keys").fetchall() == [
            ("first-operator", "operator")
        ]


def test_a_role_without_a_password_is_not_made(server: Postgres) -> None:
    Path(here(f"{SECRETS}energy_api", server)).write_text("\n")
    made = make_roles(server)
    assert made.returncode != 0
    assert "the secret energy_api is empty" in made.stderr
    with server.connect() as connection:
        left = connection.execute("SELECT FROM pg_roles WHERE rolname LIKE 'energy%'")
        assert left.fetchall() == []
