"""Readings that come again, late, out of order, or from a broken clock."""

from datetime import UTC, date, datetime, timedelta

from tests.chaos.admin import set_positions
from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.connections import connect
from tests.truth import Mix

DAYS_AHEAD = 3
DAY_PARTITIONS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = %s::regclass
"""


def test_every_reading_three_times(scene: Scene) -> None:
    mix = Mix(bad=0.01, conflicts=0, duplicates=0)
    world = scene("every reading three times, over partitions and restarts", copies=3, mix=mix)
    world.start(2)
    for _ in range(6 if world.long else 1):
        world.reads_on()
        world.wait(1, 3)
        world.replace(world.random.choice(world.workers))
    world.settle()


def test_everything_replayed(scene: Scene) -> None:
    world = scene("all that was ever sent, read again", rate=2_000)
    world.start(2)
    world.reads_on()
    world.wait(60 if world.long else 2)
    world.settle()
    for _ in range(3 if world.long else 1):
        for stream, expected in world.expected.items():
            set_positions(world.environment, world.topic(stream), "earliest")
            expected.read_again()
        world.figures.held = False
        world.start(2)
        world.settle()


def test_replayed_under_live_workers(scene: Scene) -> None:
    world = scene("positions set back by force, under live workers")
    world.start(2)
    world.reads_on()
    world.wait(20 if world.long else 1)
    world.catch_up()
    for _ in range(3 if world.long else 1):
        for stream, expected in world.expected.items():
            set_positions(world.environment, world.topic(stream), "earliest", "--force")
            expected.read_again()
        world.catch_up()
    world.settle()


def test_late_and_out_of_order(scene: Scene) -> None:
    world = scene("half of the readings days late and out of order", mix=Mix(late=0.5))
    world.start(2)
    world.reads_on()
    world.wait(30 if world.long else 3)
    world.settle()


def test_broken_clocks(scene: Scene) -> None:
    world = scene("a third of the clocks in 1970, 2106 or a year ahead", mix=Mix(clocks=0.33))
    world.start(2)
    world.reads_on()
    world.wait(30 if world.long else 2)
    world.settle()
    today = datetime.now(UTC).date()
    ahead = {today + timedelta(days=days) for days in range(DAYS_AHEAD + 1)}
    for stream, expected in world.expected.items():
        days = {date.fromisoformat(time[:10]) for _, time in expected.stored}
        assert day_partitions(world, stream) == days | ahead


def day_partitions(world: World, stream: str) -> set[date]:
    """The days that history has partitions for."""
    with connect(world.environment) as connection:
        names = connection.execute(DAY_PARTITIONS, (f"{stream}_telemetry_history",)).fetchall()
    return {date.fromisoformat(name[-10:].replace("_", "-")) for (name,) in names}
