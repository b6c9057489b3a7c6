"""Three brokers, every partition on all of them: one may be lost at any time."""

from devstack.stack import Stack
from tests.chaos.admin import coordinator, leader
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.truth import PARTITIONS


def test_a_leader_killed(scene: Scene, cluster: Stack) -> None:
    world = scene("a leader killed in a cluster of three", cluster)
    world.start(2)
    for number in range(6 if world.long else 1):
        world.reads_on()
        lose(world, leader(world.environment, world.topic("meter"), number % PARTITIONS))
    world.settle()


def test_the_coordinator_lost(scene: Scene, cluster: Stack) -> None:
    world = scene("the group's coordinator killed in a cluster of three", cluster)
    world.start(2)
    for _ in range(4 if world.long else 1):
        world.reads_on()
        lose(world, coordinator(world.environment))
    world.settle()


def lose(world: World, node_id: int) -> None:
    """Kill a broker; the others go on without it, and with it again."""
    world.kill_service(f"kafka-{node_id}")
    world.reads_on("the others go on")
    world.wait(0, 3)
    world.start_service(f"kafka-{node_id}")
    world.reads_on("all go on")
