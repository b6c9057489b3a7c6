"""The broker dies, freezes or hands out garbage; transactions abort."""

import struct
from pathlib import Path

from devstack.stack import Stack
from tests.chaos.admin import log_ends
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.truth import PARTITIONS, Mix
from tests.workers import books, wait_until

BATCH_HEADER = 61
"""Bytes of a record batch before its records; the length of what follows it is at byte 8."""
POSITION = "SELECT next_offset FROM ingest_offsets WHERE topic = %s AND partition = %s"


def test_only_broker_killed_and_restarted(scene: Scene, stack: Stack) -> None:
    world = scene("the only broker killed with -9 and restarted", stack, rate=2_000)
    world.start(2)
    for _ in range(5 if world.long else 1):
        world.reads_on()
        world.wait(0, 1)
        world.kill_service("kafka")
        world.wait(0, 5)
        world.start_service("kafka")
        world.reads_on()
    world.settle()


def test_connections_stall_without_closing(scene: Scene, stack: Stack) -> None:
    world = scene("the broker frozen: connections stall without closing", stack)
    world.start(2)
    for seconds in (5, 15, 45, 60) if world.long else (12,):
        world.reads_on()
        world.stack.service("kafka").freeze()
        world.wait(seconds)
        world.stack.service("kafka").thaw()
        world.reads_on()
    world.settle()


def test_aborted_transactions(scene: Scene) -> None:
    world = scene(
        "transactional producers, a third of them aborting",
        mix=Mix(conflicts=0),
        transactions=True,
    )
    world.start(2)
    for _ in range(20 if world.long else 2):
        world.reads_on()
        world.wait(0, 1)
        world.replace(world.random.choice(world.workers))
    world.catch_up()
    wait_until(lambda: lag(world) == 0, "a log that ends with a marker is no lag")
    world.settle()


def lag(world: World) -> int:
    """Offsets between all positions and their logs' ends."""
    partitions = books(world.environment, "--quick")["partitions"]
    return sum(partition["lag"] for partition in partitions)


def test_a_corrupt_batch_among_good_partitions(scene: Scene, stack: Stack) -> None:
    world = scene("a corrupt batch in one of twelve partitions", stack, streams=["vehicle"])
    meters = world.open_gateway(rate=1_000, seed=2, streams=["meter"])
    wait_until(lambda: meters.readings > 2_000, "the topic has readings")
    meters.finish()
    directory = world.stack.services["kafka"].directory
    segment = directory / f"{world.topic('meter')}-0" / f"{0:020}.log"
    flip_a_bit(world, segment)
    (worker,) = world.start()
    ends = log_ends(world.environment, world.topic("meter"), PARTITIONS)
    wait_until(
        lambda: all(position(world, number) == ends[number] for number in range(1, PARTITIONS)),
        "the other partitions are read to their ends",
    )
    for _ in range(3):
        world.reads_on("the other topic goes on", stream="vehicle", within_s=10)
    worker.says(f"not ready: {world.topic('meter')}-0: cannot be fetched")
    wait_until(lambda: position(world, 0), "what comes before the corrupt batch is read")
    stuck_at = position(world, 0)
    assert stuck_at is not None and stuck_at < ends[0]
    flip_a_bit(world, segment)
    worker.says(f"{world.topic('meter')}-0: fine")
    world.settle()


def position(world: World, partition: int) -> int | None:
    """How far one of the meters' partitions was read."""
    found: int | None = world.ask(POSITION, world.topic("meter"), partition)
    return found


def flip_a_bit(world: World, segment: Path) -> None:
    """On the broker's disk, in a record of the batch in the middle; twice is not at all."""
    world.stack.service("kafka").stop()
    log = bytearray(segment.read_bytes())
    starts = []
    at = 0
    while at + BATCH_HEADER < len(log):
        starts.append(at)
        (length,) = struct.unpack_from(">i", log, at + 8)
        at += 12 + length
    log[starts[len(starts) // 2] + BATCH_HEADER + 9] ^= 1
    segment.write_bytes(log)
    world.start_service("kafka")
