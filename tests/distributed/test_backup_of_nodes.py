"""The drill of docs/backup.md for a cluster: all of it is lost, and comes back as of one point."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from devstack.citus import WORKERS, CitusNode, CitusStack
from devstack.ports import LOOPBACK
from devstack.postgres import PASSWORD, SUPERUSER
from tests.backups import machine
from tests.chaos.gateway import Gateway
from tests.conftest import fresh_environment
from tests.truth import all_read, assert_holds
from tests.workers import PATIENCE_S, WorkerProcess, books, command, counted, wait_until

RATE = 500
POINT = "night"


class Archived(CitusNode):
    """A node that archives its WAL, or is restored from what another archived."""

    more: dict[str, str]

    def settings(self) -> dict[str, str]:
        """The usual ones, and its own."""
        return super().settings() | self.more


class ArchivedStack(CitusStack):
    """A cluster of such nodes."""

    def __init__(self, archive: Path, wheel: Path) -> None:
        super().__init__(wheel)
        self.wheel = wheel
        self.archive = archive

    def make_server(self, name: str, port: int) -> Archived:
        """One of the nodes."""
        node = Archived(port, self.data_dir, name, self.wheel)
        own = self.archive / name
        own.mkdir()
        owned(node, own)
        copy = f"'test ! -f {own}/%f && cp %p {own}/%f'"
        node.more = {"archive_mode": "on", "archive_command": copy}
        return node


@pytest.fixture
def safe() -> Iterator[Path]:
    """A directory on a machine that is not lost."""
    with machine("safe-") as (path, _):
        yield path


def test_a_lost_cluster_comes_back_as_of_one_point_of_all_its_nodes(
    safe: Path, own_wheel: Path
) -> None:
    with ExitStack() as undo:
        stack = undo.enter_context(ArchivedStack(safe, own_wheel))
        environment = fresh_environment(stack.environment)
        nodes = [node for node in stack.services.values() if isinstance(node, Archived)]
        gateway = undo.enter_context(Gateway(environment, rate=RATE, seed=1))
        with WorkerProcess(environment):
            reads_on(environment)
            for node in nodes:
                base_backup(node, safe / f"base-{node.name}")
            reads_on(environment)
            at_point = read_at_point(stack, environment)
            reads_on(environment)
            for wal in [last_wal(node, safe) for node in nodes]:
                wait_until(wal.exists, "the WAL is archived")
            for node in nodes:
                node.kill()
        gateway.finish()

        restored = [undo.enter_context(brought_back(stack, node)) for node in nodes]
        moved_to(restored, nodes, environment["DB_DATABASE"])
        moved = environment | {
            "DB_PORT": str(restored[0].port),
            WORKERS: ",".join(f"{LOOPBACK}:{node.port}" for node in restored[1:]),
        }
        assert (
            at_point <= counted(moved)["read"] < sum(e.readings for e in gateway.expected.values())
        )
        assert books(moved)["balanced"]
        status = command(moved, "sql", "status")
        assert status.returncode == 0, status.stderr
        with WorkerProcess(moved) as worker:
            wait_until(lambda: all_read(moved, gateway.expected), "all that Kafka has is read")
            assert_holds(moved, gateway.expected)
            assert worker.terminate() == 0


def reads_on(environment: dict[str, str]) -> None:
    before = counted(environment)["read"]
    wait_until(lambda: counted(environment)["read"] > before + RATE // 2, "readings are read")


def base_backup(node: Archived, target: Path) -> None:
    program = str(node.programs / "pg_basebackup")
    where = make_conninfo(host=LOOPBACK, port=node.port, user=SUPERUSER, password=PASSWORD)
    words = (program, "-d", where, "-D", str(target), "--checkpoint=fast")
    subprocess.run(words, capture_output=True, check=True, timeout=PATIENCE_S)


def read_at_point(stack: CitusStack, environment: dict[str, str]) -> int:
    """How much was read when all nodes named the point, or a little before."""
    read = counted(environment)["read"]
    with stack.nodes.coordinator.connected(environment["DB_DATABASE"]) as connection:
        connection.execute("SELECT citus_create_restore_point(%s)", (POINT,))
    return read


def last_wal(node: Archived, archive: Path) -> Path:
    """Where the WAL that it has written so far, and so that of the point, ends in the archive."""
    with node.node.connected() as connection:
        wal: Any = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone()
    return archive / node.name / str(wal[0])


@contextmanager
def brought_back(stack: ArchivedStack, lost: Archived) -> Iterator[Archived]:
    """Another server with what a node had at the point; killed at the end."""
    with machine(f"{lost.name}-") as (disk, port):
        node = Archived(port, disk, lost.name, stack.wheel)
        node.more = {
            "restore_command": f"'cp {stack.archive / lost.name}/%f %p'",
            "recovery_target_name": f"'{POINT}'",
            "recovery_target_action": "promote",
        }
        (stack.archive / f"base-{lost.name}").rename(node.directory)
        (node.directory / "recovery.signal").touch()
        owned(node, node.directory)
        node.reach()
        node.start()
        try:
            wait_until(lambda: is_promoted(node), "it is promoted")
            yield node
        finally:
            node.kill()


def is_promoted(node: Archived) -> bool:
    with node.connect() as connection:
        return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def moved_to(restored: list[Archived], lost: list[Archived], database: str) -> None:
    """Tell the coordinator where its nodes are by now, and end what was half committed."""
    coordinator, *_ = restored
    with coordinator.node.connected(database) as connection:
        for old, new in zip(lost, restored, strict=True):
            connection.execute(
                "SELECT citus_update_node(nodeid, nodename, %s) FROM pg_dist_node"
                " WHERE nodeport = %s",
                (new.port, old.port),
            )
        connection.execute("SELECT recover_prepared_transactions()")


def owned(node: Archived, path: Path) -> None:
    """Make it the user's that the node runs as, with all that is in it."""
    if node.user:
        for each in (path, *path.rglob("*")):
            shutil.chown(each, node.user)
