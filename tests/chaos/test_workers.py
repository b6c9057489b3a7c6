"""Workers that die, leave, join and freeze while readings come in."""

import signal

from tests.chaos.scene import Scene
from tests.chaos.world import World
from tests.workers import WorkerProcess, wait_until

TAKEOVER_WITHIN_S = 30.0
SESSION_TIMEOUT_S = 10.0
OPEN_TRANSACTIONS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'energy-worker' AND datname = current_database() AND state <> 'idle'
"""
COPIES = "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database()"


def test_one_replica_killed_at_random_instants(scene: Scene) -> None:
    world = scene("one worker, kill -9 at random instants")
    world.start()
    world.reads_on("the first readings are read")
    for _ in range(25 if world.long else 1):
        world.wait(0, 2)
        world.replace(world.workers[0])
        world.reads_on("the next worker reads on")
    world.settle()


def test_three_replicas_killed_at_random_instants(scene: Scene) -> None:
    world = scene("three workers, kill -9 at random instants", rate=2_000)
    world.start(3)
    world.reads_on("the first readings are read")
    for _ in range(30 if world.long else 3):
        world.wait(0, 8 if world.long else 1)
        world.replace(world.random.choice(world.workers))
    world.settle()


def test_rolling_restarts_under_load(scene: Scene) -> None:
    world = scene("rolling restarts with SIGTERM under load", rate=3_000)
    world.start(3)
    for _ in range(4 if world.long else 1):
        for worker in list(world.workers):
            world.reads_on()
            world.terminate(worker)
            world.start()
            world.figures.restarts += 1
    world.settle()


def test_replicas_join_and_leave_at_random(scene: Scene) -> None:
    most = 10 if scene.long else 4
    world = scene(f"up to {most} replicas joining and leaving at random")
    world.start(1)
    for _ in range(40 if world.long else 6):
        world.wait(0, 2)
        joins = world.random.random() < 0.6 and len(world.workers) < most
        if joins or not world.workers:
            world.start()
            world.figures.restarts += 1
        else:
            worker = world.random.choice(world.workers)
            leave = world.random.choice((world.terminate, world.kill))
            leave(worker)
    world.start(most - len(world.workers))
    world.settle()


def test_a_worker_frozen_between_flushes(scene: Scene) -> None:
    world = scene("frozen past its session between flushes, thawed")
    (frozen,) = world.start()
    for _ in range(5 if world.long else 1):
        world.reads_on()
        freeze_between_flushes(world, frozen)
        successor_takes_over(world, frozen)
    world.settle()


def test_a_worker_frozen_amid_a_copy(scene: Scene) -> None:
    world = scene("frozen past its session amid a COPY, thawed")
    (frozen,) = world.start()
    for _ in range(5 if world.long else 1):
        world.reads_on()
        world.proxy.copies_to_hold = 1
        wait_until(lambda: not world.proxy.copies_to_hold, "its COPY is held")
        wait_until(lambda: copies_under_way(world) == 1, "it is amid a COPY")
        frozen.process.send_signal(signal.SIGSTOP)
        successor_takes_over(world, frozen)
    world.settle()


def freeze_between_flushes(world: World, worker: WorkerProcess) -> None:
    """Stop it at an instant when none of its transactions is open."""
    worker.process.send_signal(signal.SIGSTOP)
    while world.ask(OPEN_TRANSACTIONS):
        worker.process.send_signal(signal.SIGCONT)
        world.wait(0.01, 0.05)
        worker.process.send_signal(signal.SIGSTOP)


def copies_under_way(world: World) -> int:
    """COPYs into history that PostgreSQL has not seen the end of."""
    return int(world.ask(COPIES))


def successor_takes_over(world: World, frozen: WorkerProcess) -> None:
    """Another worker goes on in time; the thawed one finds back by itself."""
    world.start()
    seconds = world.reads_on("the successor reads on", within_s=TAKEOVER_WITHIN_S)
    assert copies_under_way(world) <= 1
    world.wait(max(0.0, SESSION_TIMEOUT_S - seconds))
    before = frozen.log.count(": fine") + frozen.log.count("reading ")
    frozen.process.send_signal(signal.SIGCONT)
    wait_until(
        lambda: frozen.log.count(": fine") + frozen.log.count("reading ") > before,
        "the thawed worker reads again",
    )
    (successor,) = [worker for worker in world.workers if worker is not frozen]
    world.terminate(successor)
    world.reads_on("the thawed worker works again", within_s=TAKEOVER_WITHIN_S)
