"""Everything at once, and an outage at a rate that would fill any memory."""

import psutil

from devstack.stack import Stack
from tests.chaos.admin import set_positions
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.truth import Mix
from tests.workers import WorkerProcess, wait_until

MIX = Mix(bad=0.005, clocks=0.005, conflicts=0.005, duplicates=0.10, late=0.02)
MOST_GROWTH_BYTES = 96 * 1024 * 1024
"""Less than the readings of a minute at 5,000/s would take."""
SETTLED_AFTER_S = 5.0
SENT_IN_S = 300.0


def test_campaign(scene: Scene, stack: Stack) -> None:
    world = scene(
        "campaign: three workers, kills of all kinds, then all read again", stack, mix=MIX
    )
    readings, kills, outages = (300_000, 30, 2) if world.long else (10_000, 2, 1)
    world.gateway.rate = 3_000
    world.start(3)
    faults = ["worker"] * kills + [*stack.servers] * outages + ["kafka"]
    world.random.shuffle(faults)
    for number, fault in enumerate(faults, 1):
        has_sent(world, readings * number // (len(faults) + 1))
        if fault == "worker":
            world.replace(world.random.choice(world.workers))
        else:
            world.kill_service(fault)
            world.wait(0, 3)
            world.start_service(fault)
    has_sent(world, readings)
    world.settle()
    read_all_again(world)


def test_away_for_minutes_under_load(scene: Scene, stack: Stack) -> None:
    away_s = 300 if scene.long else 15
    world = scene(f"PostgreSQL away for {away_s} s at 5,000 readings/s", stack, rate=5_000)
    workers = world.start(2)
    for _ in workers:
        world.reads_on()
    world.stack.service("postgres").stop()
    for worker in workers:
        worker.says("not ready: database")
    world.wait(SETTLED_AFTER_S)
    before = memory(workers)
    world.wait(away_s)
    growth = memory(workers) - before
    world.start_service("postgres")
    world.settle()
    assert growth < MOST_GROWTH_BYTES


def has_sent(world: World, readings: int) -> None:
    """Wait until the gateway has sent so many readings."""
    wait_until(lambda: world.gateway.readings > readings, f"{readings} sent", patience_s=SENT_IN_S)


def read_all_again(world: World) -> None:
    """From the start: nothing changes but the duplicates."""
    world.figures.held = False
    for stream, expected in world.expected.items():
        set_positions(world.environment, world.topic(stream), "earliest")
        expected.read_again()
    world.start(3)
    world.settle()


def memory(workers: list[WorkerProcess]) -> int:
    """Resident bytes of all of them."""
    return sum(int(psutil.Process(worker.process.pid).memory_info().rss) for worker in workers)
