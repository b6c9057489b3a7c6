"""Topics recreated, cut short and grown under the workers; their other topic goes on."""

from functools import partial

from tests.chaos.admin import (
    add_partitions,
    create_topic,
    delete_records,
    delete_topic,
    log_ends,
    set_positions,
)
from tests.chaos.gateway import Gateway
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.truth import PARTITIONS, Mix
from tests.workers import wait_until

STOPPED = "SELECT count(*) FROM ingest_offsets WHERE topic = %s AND stopped LIKE %s"
NEW_PARTITIONS = (
    "SELECT count(*) = 2 FROM ingest_offsets WHERE topic = %s AND partition >= %s AND read > 0"
)
NOTICED_WITHIN_S = 30.0
"""A consumer's metadata are up to 15 s old."""


def test_topic_recreated_shorter(scene: Scene) -> None:
    world = scene("a topic deleted and recreated, shorter than the position", streams=["vehicle"])
    meters = world.open_gateway(rate=1_000, seed=2, streams=["meter"])
    world.start(2)
    read_for(world, 3)
    empty_topic(world, meters)
    before = meters.readings
    meters.start()
    wait_until(lambda: meters.readings > before + 500, "the new topic has readings")
    stopped_loudly(world, "%created anew")
    world.reads_on("the other topic goes on", stream="vehicle")
    set_positions(world.environment, world.topic("meter"), "earliest")
    world.reads_on("the topic goes on", stream="meter")
    world.settle()


def test_topic_recreated_longer(scene: Scene) -> None:
    world = scene("a topic deleted and recreated, longer than the position", streams=["vehicle"])
    meters = world.open_gateway(rate=500, seed=2, streams=["meter"])
    (worker,) = world.start()
    read_for(world, 1)
    meters.finish()
    wait_until(lambda: world.read("meter") == meters.readings, "all meters were read")
    world.terminate(worker)
    before = log_ends(world.environment, world.topic("meter"), PARTITIONS)
    empty_topic(world, meters)
    meters.rate = 3_000
    meters.start()
    wait_until(lambda: longer(world, before), "the topic has outgrown its positions")
    world.start()
    stopped_loudly(world, "%created anew")
    world.reads_on("the other topic goes on", stream="vehicle")
    set_positions(world.environment, world.topic("meter"), "earliest")
    world.settle()


def test_retention_overtakes(scene: Scene) -> None:
    world = scene("retention that overtook the workers", streams=["vehicle"])
    meters = world.open_gateway(rate=1_000, seed=2, streams=["meter"])
    (worker,) = world.start()
    read_for(world, 1)
    meters.finish()
    wait_until(lambda: world.read("meter") == meters.readings, "all meters were read")
    world.terminate(worker)
    with Gateway(world.environment, rate=1_000, seed=3, streams=["meter"]) as doomed:
        wait_until(lambda: doomed.readings > 1_000, "readings that nobody will ever read")
        doomed.finish()
    ends = log_ends(world.environment, world.topic("meter"), PARTITIONS)
    delete_records(world.environment, world.topic("meter"), ends)
    meters.start()
    world.start()
    stopped_loudly(world, "%retention overtook us")
    world.reads_on("the other topic goes on", stream="vehicle")
    set_positions(world.environment, world.topic("meter"), "earliest")
    world.settle()


def test_partitions_added(scene: Scene) -> None:
    world = scene("partitions added while running", mix=Mix(conflicts=0))
    world.start(2)
    world.reads_on()
    for stream in ("meter", "vehicle"):
        add_partitions(world.environment, world.topic(stream), PARTITIONS + 2)
    world.gateway.moved = {0: PARTITIONS, 1: PARTITIONS + 1}
    for topic in (world.topic("meter"), world.topic("vehicle")):
        wait_until(
            partial(world.ask, NEW_PARTITIONS, topic, PARTITIONS),
            "the new partitions are read",
            patience_s=NOTICED_WITHIN_S,
        )
    world.settle()


def read_for(world: World, seconds: float) -> None:
    """Wait until both streams are read, and a while longer."""
    world.reads_on(stream="meter")
    world.reads_on(stream="vehicle")
    world.wait(seconds)


def empty_topic(world: World, meters: Gateway) -> None:
    """Delete the meters' topic once all of it was read, and create it anew."""
    meters.finish()
    wait_until(lambda: world.read("meter") == meters.readings, "all meters were read")
    delete_topic(world.environment, world.topic("meter"))
    create_topic(world.environment, world.topic("meter"))


def longer(world: World, before: dict[int, int]) -> bool:
    """Whether every partition has outgrown what it held before."""
    ends = log_ends(world.environment, world.topic("meter"), PARTITIONS)
    return all(ends[partition] > end + 10 for partition, end in before.items())


def stopped_loudly(world: World, why: str) -> None:
    """All of the meters' partitions wait for an operator, and a worker says so."""
    wait_until(
        lambda: world.ask(STOPPED, world.topic("meter"), why) == PARTITIONS,
        f"six partitions are stopped: {why}",
    )
    assert any("not ready: " + world.topic("meter") in worker.log for worker in world.workers)
