"""Nodes of a cluster die, also between the two phases of a commit: nothing is lost or doubled.

What a transaction has prepared on a node lies there until Citus finds out whether it was committed:
until then its rows are in no answer, and stay locked.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from devstack.citus import CitusStack
from devstack.citus_nodes import Node
from devstack.stack import Stack
from tests.chaos.world import World
from tests.cluster import prepared
from tests.conftest import mend
from tests.truth import Mix
from tests.workers import wait_until

READINGS = 200_000
MIX = Mix(bad=0.005, clocks=0.005, conflicts=0.005, duplicates=0.10, late=0.02)
SENT_IN_S = 300.0


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


def has_sent(world: World, readings: int) -> None:
    """Wait until the gateway has sent so many readings."""
    wait_until(lambda: world.gateway.readings > readings, "were sent", patience_s=SENT_IN_S)


@pytest.mark.parametrize("node", ["worker-1", "postgres"])
def test_what_lay_prepared_when_a_node_died_is_committed_once_it_is_back(
    stack: Stack, node: str
) -> None:
    with World("killed between the phases of a commit", {}, stack) as world:
        world.start()
        world.reads_on()
        with commits_held(stack):
            wait_until(lambda: all(prepared(stack)), "a flush is between its phases")
            world.kill_service(node)
            if node == "postgres":
                world.start_service(node)
        mend(stack)
        world.settle()


def test_every_node_killed_on_the_path_of_200_000_readings(stack: Stack) -> None:
    with World("every node of a cluster killed", {}, stack, rate=8_000, mix=MIX) as world:
        world.start(2)
        names = ("worker-1", "postgres", "worker-2")
        for number, name in enumerate(names, 1):
            has_sent(world, READINGS * number // (len(names) + 1))
            world.reads_on()
            world.kill_service(name)
            world.wait(0, 3)
            world.start_service(name)
        has_sent(world, READINGS)
        world.settle()
