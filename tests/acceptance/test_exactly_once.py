"""A mixed stream from an independent producer ends as exactly what it should be.

The producer decides what every reading must become and the test compares by SQL: history as a
multiset, live state, rejected readings with reason and offset, and the books.
"""

import asyncio

import pytest

from tests.connections import connect
from tests.truth import all_read, assert_holds, produce
from tests.workers import WorkerProcess, command, wait_until


@pytest.mark.parametrize("batch_size", ["100000", "500"])
def test_every_reading_becomes_exactly_one_thing(
    own_environment: dict[str, str], batch_size: str
) -> None:
    expected = asyncio.run(produce(own_environment, 20_000, seed=1))
    with WorkerProcess({**own_environment, "BATCH_SIZE": batch_size}) as worker:
        wait_until(lambda: all_read(own_environment, expected), "all is read")
        assert worker.terminate() == 0, worker.log
    assert_holds(own_environment, expected)


def test_a_worker_killed_half_way_loses_and_doubles_nothing(
    own_environment: dict[str, str],
) -> None:
    expected = asyncio.run(produce(own_environment, 60_000, seed=2))
    environment = {**own_environment, "BATCH_SIZE": "2000"}
    with WorkerProcess(environment) as first, WorkerProcess(environment) as second:
        with connect(environment) as connection:
            some = "SELECT coalesce(sum(read), 0) > 20000 FROM ingest_offsets"
            wait_until(lambda: connection.execute(some).fetchone() == (True,), "some were read")
        first.kill()
        with WorkerProcess(environment) as third:
            wait_until(lambda: all_read(environment, expected), "all is read")
            assert second.terminate() == 0
            assert third.terminate() == 0
    assert_holds(own_environment, expected)


def test_reading_everything_again_changes_only_the_duplicates(
    own_environment: dict[str, str],
) -> None:
    expected = asyncio.run(produce(own_environment, 4_000, seed=3))
    with WorkerProcess(own_environment) as worker:
        wait_until(lambda: all_read(own_environment, expected), "all is read")
        worker.terminate()
    for stream in ("METER", "VEHICLE"):
        topic = own_environment[f"KAFKA_{stream}_TOPIC"]
        words = ("--topic", topic, "--partition", "all", "--to", "earliest")
        done = command(own_environment, "ingest_worker", "positions", "set", *words)
        assert done.returncode == 0, done.stderr
    for e in expected.values():
        e.read_again()
    with WorkerProcess(own_environment) as worker:
        wait_until(lambda: all_read(own_environment, expected), "all is read again")
        worker.terminate()
    assert_holds(own_environment, expected)
