"""PostgreSQL dies, stays away, loses connections, refuses to write: an outage is not poison."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from devstack.stack import Stack
from tests.chaos.disk import small_disk
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.connections import connect
from tests.workers import wait_until

SESSION_TIMEOUT_S = 10.0
REFUSED = "too many clients"
DISK_FULL = "not ready: database: 53100"


def test_killed_and_restarted(scene: Scene, stack: Stack) -> None:
    world = scene("PostgreSQL killed with -9 and restarted", stack, rate=2_000)
    world.start(2)
    for _ in range(8 if world.long else 1):
        world.reads_on()
        world.wait(0, 1)
        world.kill_service("postgres")
        world.wait(0, 3)
        world.start_service("postgres")
    world.reads_on()
    world.settle()


def test_away_for_longer_than_a_session(scene: Scene, stack: Stack) -> None:
    world = scene("PostgreSQL away for longer than Kafka's session timeout", stack)
    (worker,) = world.start()
    world.reads_on()
    world.stack.service("postgres").stop()
    worker.says("not ready: database")
    world.wait(SESSION_TIMEOUT_S * (6 if world.long else 1.1))
    world.start_service("postgres")
    world.reads_on()
    world.settle()


def test_connections_cut_amid_a_copy(scene: Scene) -> None:
    world = scene("connections cut amid a COPY")
    world.start(2)
    for _ in range(20 if world.long else 2):
        world.proxy.copies_to_cut = world.random.randint(1, 3)
        wait_until(lambda: world.proxy.copies_to_cut == 0, "COPYs were cut off")
        world.reads_on()
    world.settle()


def test_connections_lost_at_commit(scene: Scene) -> None:
    world = scene("connections lost at COMMIT, its outcome unknown")
    world.start(2)
    for _ in range(20 if world.long else 2):
        world.proxy.answers_to_lose = world.random.randint(1, 3)
        wait_until(lambda: world.proxy.answers_to_lose == 0, "answers were lost")
        world.proxy.commits_to_lose = world.random.randint(1, 3)
        wait_until(lambda: world.proxy.commits_to_lose == 0, "commits were lost")
        world.reads_on()
    world.settle()


def test_unreachable(scene: Scene) -> None:
    world = scene("PostgreSQL unreachable, and all connections cut, again and again")
    world.start(2)
    for _ in range(15 if world.long else 2):
        world.reads_on()
        world.proxy.cut()
        world.wait(0, 1)
        world.proxy.stop()
        world.wait(0, 2)
        world.proxy.listen()
    world.settle()


def test_slow(scene: Scene) -> None:
    world = scene("a slow database: 50 ms on every packet, either way")
    world.start(2)
    world.reads_on()
    world.proxy.latency_s = 0.05
    for _ in range(10 if world.long else 1):
        world.reads_on()
        world.wait(2)
    world.settle()


def test_too_many_connections(scene: Scene, stack: Stack) -> None:
    world = scene("all of PostgreSQL's connections taken", stack)
    (worker,) = world.start()
    for _ in range(5 if world.long else 1):
        world.reads_on()
        refusals = worker.log.count(REFUSED)
        with ExitStack() as taken:
            while worker.log.count(REFUSED) == refusals:
                world.proxy.cut()
                take_all_connections(world, taken)
            world.wait(1)
        world.reads_on()
    world.settle()


def test_read_only(scene: Scene, stack: Stack) -> None:
    world = scene("PostgreSQL read-only", stack)
    (worker,) = world.start()
    world.reads_on()
    with read_only(world):
        worker.says("25006")
        before = world.read()
        world.wait(20 if world.long else 1)
        assert world.read() == before
    world.reads_on()
    world.settle()


def test_disk_full(scene: Scene, stack: Stack) -> None:
    world = scene("the disk full", stack, rate=2_000)
    with small_disk(world) as disk:
        (worker,) = world.start()
        for _ in range(5 if world.long else 1):
            world.reads_on()
            disk.fill()
            worker.says_again(DISK_FULL)
            world.wait(1)
            disk.make_room()
            world.reads_on()
        world.settle()


def take_all_connections(world: World, taken: ExitStack) -> None:
    """Connect until PostgreSQL refuses."""
    while True:
        try:
            taken.enter_context(connect(world.environment))
        except psycopg.OperationalError:
            return


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """All of PostgreSQL, for every session that did not say otherwise."""
    with connect(world.environment) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
