"""Nodes of a cluster die, also between the two phases of a commit: nothing is lost or doubled.

What a transaction has prepared on a node lies there until Citus finds out that it was committed,
or was not: until then its rows are in no answer.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devstack.citus import CitusStack
from devstack.citus_nodes import Node
from devstack.stack import Stack
from tests.chaos.world import World
from tests.conftest import fresh_environment, mend
from tests.sending import produce
from tests.truth import Mix, all_read, assert_holds
from tests.workers import WorkerProcess, wait_until

READINGS = 200_000
MIX = Mix(bad=0.005, clocks=0.005, conflicts=0.005, duplicates=0.10, late=0.02)
SENT_IN_S = 300.0
PREPARED = "SELECT count(*) FROM pg_prepared_xacts"


def prepared(stack: Stack) -> int:
    """Transactions that lie prepared on the workers."""
    assert isinstance(stack, CitusStack)
    count = 0
    for node in stack.nodes.workers:
        with node.connected() as connection:
            ((here,),) = connection.execute(PREPARED).fetchall()
            count += here
    return count


@contextmanager
def commits_held(stack: Stack) -> Iterator[None]:
    """What the coordinator commits was prepared on the workers, but they are not told meanwhile:
    it waits for a standby that does not exist."""
    assert isinstance(stack, CitusStack)
    hold = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'"
    release = "ALTER SYSTEM RESET synchronous_standby_names"
    _configure(stack.nodes.coordinator, hold)
    try:
        yield
    finally:
        _configure(stack.nodes.coordinator, release)


def _configure(node: Node, statement: str) -> None:
    with node.connected() as connection:
        connection.execute(statement.encode())
        connection.execute("SELECT pg_reload_conf()")


@pytest.mark.parametrize("node", ["worker-1", "postgres"])
def test_what_lay_prepared_when_a_node_died_is_committed_once_it_is_back(
    stack: Stack, node: str
) -> None:
    environment = fresh_environment(stack.environment)
    expected = asyncio.run(produce(environment, 4_000, seed=4))
    with WorkerProcess(environment) as worker:
        with commits_held(stack):
            wait_until(lambda: prepared(stack), "a flush is between its phases")
            stack.service(node).kill()
            if node == "postgres":
                stack.service(node).start()
        mend(stack)
        wait_until(lambda: all_read(environment, expected), "all is read")
        wait_until(lambda: not prepared(stack), "nothing lies prepared")
        assert worker.terminate() == 0, worker.log
    assert_holds(environment, expected)


def test_every_node_killed_on_the_path_of_200_000_readings(stack: Stack) -> None:
    services = stack.environment
    with World("nodes of a cluster killed", services, stack, rate=8_000, mix=MIX) as world:
        world.start(2)
        names = ("worker-1", "postgres", "worker-2")
        for number, name in enumerate(names, 1):
            has_sent(world, READINGS * number // (len(names) + 1))
            world.reads_on()
            world.kill_service(name)
            world.wait(0, 3)
            world.start_service(name)
        has_sent(world, READINGS)
        world.catch_up()
        wait_until(lambda: not prepared(stack), "nothing lies prepared")
        world.settle()


def has_sent(world: World, readings: int) -> None:
    """Wait until the gateway has sent so many readings."""
    wait_until(lambda: world.gateway.readings > readings, "were sent", patience_s=SENT_IN_S)
