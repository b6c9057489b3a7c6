"""docs/citus.md, done as it stands there: from one filled PostgreSQL to a cluster, and back."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from devstack.citus_build import wheel_with_citus
from devstack.data_dir import DataDirectory
from devstack.postgres import PASSWORD, SUPERUSER
from devstack.stack import Stack
from sql.grant import grant
from sql.migrate import migrate
from tests import cluster
from tests.api_process import ApiProcess
from tests.conftest import create_topics
from tests.connections import connect
from tests.distributed.all_the_while import (
    HISTORY,
    STATE,
    asked_all_the_while,
    sent_all_the_while,
)
from tests.distributed.by_document import DATABASE, ROLES, Servers, block, write_passwords
from tests.distributed.filled import TABLES, fill, on_nodes, sums
from tests.workers import WorkerProcess, books, counted, wait_until

READINGS = int(os.environ.get("READINGS", "200000"))
"""In both histories together."""
STANDSTILL_S = 60.0


@pytest.fixture
def servers(breakable_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Servers]:
    """A plain PostgreSQL and three nodes that are set up as the document says."""
    directory = DataDirectory(None)
    passwords = directory.path / "passwords"
    write_passwords(passwords, SUPERUSER)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    made = Servers(directory.path, wheel_with_citus(Path(os.environ[cluster.SOURCE])))
    try:
        made.start()
        yield made
    finally:
        made.stop()
        directory.close()


@pytest.fixture
def environment(servers: Servers, breakable_stack: Stack) -> dict[str, str]:
    """The filled database of the plain PostgreSQL, as its owner, with topics of its own."""
    servers.plain.create_database(DATABASE)
    kafka = breakable_stack.environment.items()
    environment = {name: value for name, value in kafka if name.startswith("KAFKA_")}
    environment |= {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(servers.plain.port),
        "DB_USERNAME": SUPERUSER,
        "DB_PASSWORD": PASSWORD,
        "DB_DATABASE": DATABASE,
        "KAFKA_METER_TOPIC": f"document-meter-{servers.plain.port}",
        "KAFKA_VEHICLE_TOPIC": f"document-vehicle-{servers.plain.port}",
        "KAFKA_GROUP_ID": f"document-{servers.plain.port}",
        "METRICS_PORT": "0",
    }
    topics = [environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]]
    asyncio.run(create_topics(environment, topics))
    with connect(environment) as connection:
        migrate(connection)
        for role in ROLES.values():
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'".encode())
        grant(connection, ROLES)
    fill(environment, READINGS // 2)
    return environment


def test_from_one_postgresql_to_a_cluster_that_grows_and_back(
    servers: Servers, environment: dict[str, str]
) -> None:
    worker = environment | {"DB_USERNAME": ROLES["worker"]}
    names = block("COORDINATOR=")
    filled = sums(environment)
    with ApiProcess(environment | {"DB_USERNAME": ROLES["api"]}) as api, ExitStack() as undo:
        answers = {path: api.http.get(path).json() for path in (HISTORY, STATE)}
        wrong = undo.enter_context(asked_all_the_while(api, answers))
        sent = undo.enter_context(sent_all_the_while(environment))
        with WorkerProcess(worker) as before:
            before.says("reading document-")
            servers.do(environment, names, block('energy_ingestion TEMPLATE template0"\n    psql'))
            servers.become_coordinator()
            servers.do(environment, names, block("citus_set_coordinator_host"))
            assert before.terminate() == 0
        stopped = time.monotonic()
        said = servers.do(environment, "python -m sql distribute")
        assert "the books balance; the workers may run" in said
        with WorkerProcess(worker) as after:
            after.says("reading document-")
            standstill_s = time.monotonic() - stopped
            assert on_nodes(environment) == sorted(TABLES)
            servers.do(environment, names, block("sql rebalance"))
    with WorkerProcess(worker) as after:
        wanted = sum(sent) + filled[TABLES[0]][0] + filled[TABLES[2]][0]
        wait_until(lambda: counted(environment)["stored"] == wanted, "all was stored")
        assert after.terminate() == 0
    print(f"{READINGS} readings: workers stood still for {standstill_s:.1f} s")
    assert standstill_s < STANDSTILL_S
    assert wrong == []
    assert books(environment)["total"]["stored"] == wanted
    whole = sums(environment)
    servers.do(environment, "python -m sql distribute --undo")
    assert on_nodes(environment) == []
    assert sums(environment) == whole
    servers.do(environment, names, "NODE=10.0.0.13:5432", block("DROP EXTENSION"))
    with WorkerProcess(worker) as again:
        again.says("reading document-")
        assert again.terminate() == 0
    assert books(environment)["total"]["stored"] == wanted
