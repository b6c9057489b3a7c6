"""Drills of docs/backup.md: a database under load is backed up, and its machine is lost."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backups import Server, machine, running
from tests.chaos.admin import delete_records, log_ends, set_positions
from tests.chaos.gateway import Gateway
from tests.conftest import PARTITIONS, fresh_environment
from tests.connections import connect
from tests.probes import reasons
from tests.truth import Expected, all_read, assert_holds
from tests.workers import WorkerProcess, books, command, counted, wait_until

RATE = 1_000
ARCHIVING = {"archive_mode": "on", "archive_timeout": "'60s'"}
KEPT = "DEVICE-KEPT"


@dataclass
class Backups:
    """What is left when the machine is gone: two kinds of backups, and Kafka."""

    environment: dict[str, str]
    expected: dict[str, Expected]
    dump: Path
    roles: Path
    base: Path
    archive: Path
    before_mistake: str
    """When all was still well."""
    identity: Any

    def on(self, server: Server) -> dict[str, str]:
        """How workers reach the restored database."""
        return self.environment | {"DB_PORT": str(server.port)}


@pytest.fixture(scope="module")
def backups(services: dict[str, str]) -> Iterator[Backups]:
    """Both kinds are taken under load; then comes a mistake, then the machine is lost."""
    with ExitStack() as undo:
        disk, port = undo.enter_context(machine("lost-"))
        safe, _ = undo.enter_context(machine("safe-"))
        archive = safe / "archive"
        archive.mkdir()
        copy = f"'test ! -f {archive}/%f && cp %p {archive}/%f'"
        server = Server(port, disk, archive_command=copy, **ARCHIVING)
        undo.enter_context(running(server))
        server.owns(archive)
        environment = fresh_environment(services | server.environment)
        gateway = undo.enter_context(Gateway(environment, rate=RATE, seed=1))
        with WorkerProcess(environment):
            reads_on(environment)
            server.run("pg_basebackup", "-D", str(safe / "base"), "--checkpoint=fast")
            roles = safe / "roles.sql"
            roles.write_text(server.run("pg_dumpall", "--roles-only"))
            with connect(environment) as admin:
                admin.execute("INSERT INTO meters (meter_id) VALUES (%s)", [KEPT])
                reads_on(environment)
                name = environment["DB_DATABASE"]
                server.run("pg_dump", "-Fc", "-d", name, "-f", str(safe / "dump"))
                reads_on(environment)
                identity = one(admin, "SELECT id FROM database_identity")
                before = one(admin, "SELECT clock_timestamp()::text")
                admin.execute("DELETE FROM meters")
                reads_on(environment)
                wal = one(admin, "SELECT pg_walfile_name(pg_switch_wal())")
            wait_until(lambda: (archive / wal).exists(), "the WAL is archived")
            reads_on(environment)
            server.kill()
            gateway.finish()
        paths = (safe / "dump", roles, safe / "base", archive)
        yield Backups(environment, gateway.expected, *paths, before, identity)


@pytest.fixture(scope="module")
def dump_restored(backups: Backups) -> Iterator[Server]:
    """Another server with what pg_dump took."""
    with machine("dump-") as (disk, port), running(Server(port, disk)) as server:
        roles = backups.roles.read_text().splitlines(keepends=True)
        backups.roles.write_text("".join(line for line in roles if " ROLE postgres" not in line))
        server.run(
            "psql", "-v", "ON_ERROR_STOP=1", "-q", "-d", "postgres", "-f", str(backups.roles)
        )
        restore(server, backups)
        yield server


def restore(server: Server, backups: Backups) -> None:
    server.run("pg_restore", "--create", "--exit-on-error", "-d", "postgres", str(backups.dump))


@pytest.fixture(scope="module")
def instant_restored(backups: Backups) -> Iterator[Server]:
    """Another server as the lost one was at the instant before the mistake."""
    with machine("instant-") as (disk, port):
        server = Server(
            port,
            disk,
            restore_command=f"'cp {backups.archive}/%f %p'",
            recovery_target_time=f"'{backups.before_mistake}'",
            recovery_target_action="promote",
        )
        backups.base.rename(server.directory)
        (server.directory / "recovery.signal").touch()
        server.owns(server.directory)
        with running(server):
            wait_until(lambda: is_promoted(server), "it is promoted")
            yield server


def test_both_restored_databases_get_all_that_kafka_has_even_side_by_side(
    backups: Backups, dump_restored: Server, instant_restored: Server
) -> None:
    behind, ahead = backups.on(dump_restored), backups.on(instant_restored)
    assert counted(behind)["read"] < counted(ahead)["read"] < sent(backups)
    for environment in (behind, ahead):
        with connect(environment) as admin:
            assert one(admin, "SELECT id FROM database_identity") == backups.identity
            assert one(admin, "SELECT count(*) FROM meters WHERE meter_id = %s", KEPT) == 1
        status = command(environment, "sql", "status")
        assert status.returncode == 0, status.stderr
    with WorkerProcess(ahead) as worker:
        with WorkerProcess(behind) as left_running:
            before = counted(behind)["read"], counted(ahead)["read"]
            wait_until(lambda: counted(behind)["read"] > before[0], "the one left running reads")
            wait_until(lambda: counted(ahead)["read"] > before[1], "the one in its place reads")
            assert left_running.terminate() == 0
        holds(backups, ahead)
        assert worker.terminate() == 0
    with WorkerProcess(behind) as worker:
        holds(backups, behind)
        assert worker.terminate() == 0


def test_a_database_older_than_kafkas_logs_stops_until_an_operator_decides(
    backups: Backups, dump_restored: Server
) -> None:
    dump_restored.run("dropdb", "--force", backups.environment["DB_DATABASE"])
    restore(dump_restored, backups)
    environment = backups.on(dump_restored)
    topics = [environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]]
    for topic in topics:
        delete_records(environment, topic, log_ends(environment, topic, PARTITIONS))
    listed = command(environment, "ingest_worker", "positions", "list").stdout
    assert listed.count("offsets that Kafka has no longer") == 2 * PARTITIONS
    with WorkerProcess(environment) as worker:
        wait_until(lambda: len(reasons(worker)) == 2 * PARTITIONS, "all partitions are stopped")
        assert all("retention overtook us" in why for why in reasons(worker).values())
        read = counted(environment)["read"]
        for topic in topics:
            set_positions(environment, topic, "earliest")
        wait_until(lambda: not reasons(worker), "it goes on")
        assert worker.terminate() == 0
    assert books(environment)["total"]["read"] == read


def holds(backups: Backups, environment: dict[str, str]) -> None:
    wait_until(lambda: all_read(environment, backups.expected), "all that Kafka has is read")
    assert_holds(environment, backups.expected)


def sent(backups: Backups) -> int:
    return sum(expected.readings for expected in backups.expected.values())


def reads_on(environment: dict[str, str]) -> None:
    before = counted(environment)["read"]
    wait_until(lambda: counted(environment)["read"] > before + RATE // 2, "readings are read")


def is_promoted(server: Server) -> bool:
    with server.connect() as connection:
        return one(connection, "SELECT NOT pg_is_in_recovery()") is True


def one(connection: Any, query: str, *parameters: Any) -> Any:
    (value,) = connection.execute(query, parameters).fetchone()
    return value
