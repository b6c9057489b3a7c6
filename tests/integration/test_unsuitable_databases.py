"""A server or a database that cannot hold every reading is refused at start, in one line."""

import asyncio
import secrets

import psycopg
import pytest

from sql import connect
from sql.errors import UnsuitableDatabaseError
from tests.api_process import ApiProcess
from tests.conftest import create_database
from tests.connections import conninfo
from tests.postgres_versions import VERSIONS, postgres_of
from tests.workers import PATIENCE_S, WorkerProcess, command

TOO_OLD = [version for version in VERSIONS if version < 15]
"""Those that can be had on this platform."""


def check_refusal(status: int, log: str, why: str) -> None:
    """The process has ended with one clear line."""
    assert status == 1, log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if line.startswith("error: ")]
    assert why in line


def check_refused_by_all(environment: dict[str, str], why: str) -> None:
    with WorkerProcess(environment) as worker, ApiProcess(environment, ready=False) as api:
        for words in (["sql", "migrate"], ["ingest_worker", "reconcile"]):
            done = command(environment, *words)
            check_refusal(done.returncode, done.stderr, why)
        for process in (worker, api):
            check_refusal(process.process.wait(PATIENCE_S), process.log, why)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_is_not_utf8(services: dict[str, str], encoding: str) -> None:
    name = f"test_{secrets.token_hex(4)}"
    environment = services | {"DB_DATABASE": name}
    create_database(services, name, f"ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    check_refused_by_all(environment, f"encoded in {encoding}")


def test_one_that_comes_while_a_process_waits_for_it(services: dict[str, str]) -> None:
    name = f"test_{secrets.token_hex(4)}"
    environment = services | {"DB_DATABASE": name}
    with WorkerProcess(environment) as worker, ApiProcess(environment, ready=False) as api:
        for process in (worker, api):
            process.says(f'database "{name}" does not exist')
        create_database(services, name, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        for process in (worker, api):
            check_refusal(process.process.wait(PATIENCE_S), process.log, "encoded in LATIN1")


def test_a_server_that_is_too_old(services: dict[str, str]) -> None:
    for version in TOO_OLD:
        with postgres_of(version) as server:
            environment = services | server | {"DB_DATABASE": "postgres"}
            why = f"PostgreSQL {version} is too old, 15 or newer is needed"
            check_refused_by_all(environment, why)


async def _settle(environment: dict[str, str]) -> None:
    async with await psycopg.AsyncConnection.connect(
        conninfo(environment), autocommit=True
    ) as connection:
        await connect.settle(connection)


def test_every_connection_looks_at_the_version(
    services: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "OLDEST_VERSION", 990_000)
    environment = services | {"DB_DATABASE": "postgres"}
    with pytest.raises(UnsuitableDatabaseError, match="is too old, 99 or newer is needed"):
        connect.connect(conninfo(environment))
    with pytest.raises(UnsuitableDatabaseError, match="is too old, 99 or newer is needed"):
        asyncio.run(_settle(environment))
