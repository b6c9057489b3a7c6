"""What chargers say of their sessions, while workers die and PostgreSQL goes away amid it."""

from tests.chaos.scene import Scene
from tests.told import assert_told, register_all, send, tell, with_sessions
from tests.workers import wait_until

READ = "SELECT coalesce(sum(read), 0) FROM ingest_offsets WHERE topic = %s"
READ_WITHIN_S = 300.0


def test_session_events_in_any_order_and_number(scene: Scene) -> None:
    """The long form tells of 14,000 events, and of 7,000 of them twice."""
    size, kills = ((100, 71), 20) if scene.long else ((10, 13), 2)
    told = tell(7, chargers=size[0], hours=size[1])
    world = scene(f"{len(told.sent):,} session events, out of order, beside readings", rate=300)
    environment = with_sessions(world.environment)
    topic = environment["KAFKA_SESSION_TOPIC"]
    world.worker_environment |= {"KAFKA_SESSION_TOPIC": topic, "BATCH_SIZE": "300"}
    register_all(environment, told)
    world.start(3)
    each = len(told.sent) // kills + 1
    for number in range(kills):
        send(environment, told.sent[number * each : (number + 1) * each], seed=number)
        world.wait(0, 2)
        world.replace(world.random.choice(world.workers))
        world.proxy.answers_to_lose = number % 2  # of what is committed, for all one knows
        if number % 3 == 1:
            world.proxy.cut()
    wait_until(
        lambda: world.ask(READ, topic) >= len(told.sent),
        "all events are read",
        patience_s=READ_WITHIN_S,
    )
    world.settle()
    assert_told(environment, told)
    world.figures.readings += len(told.sent)
