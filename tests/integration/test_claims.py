"""Two databases that share a group id on one Kafka: neither takes the other's readings unseen."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from aiokafka import TopicPartition

from tests.conftest import fresh_environment
from tests.connections import connect
from tests.kafka import group_offsets, send
from tests.probes import degraded, reasons
from tests.readings import meter_value
from tests.workers import WorkerProcess, command, counted, wait_until

SET = ("ingest_worker", "positions", "set", "--partition", "0", "--to", "earliest", "--topic")


@pytest.fixture
def two(services: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Two databases; the second is meant to have a group id of its own, and has the first one's."""
    first, second = fresh_environment(services), fresh_environment(services)
    shared = ("KAFKA_METER_TOPIC", "KAFKA_VEHICLE_TOPIC", "KAFKA_GROUP_ID")
    return first, second | {name: first[name] for name in shared}


def identity(environment: dict[str, str]) -> str:
    with connect(environment) as connection:
        row = connection.execute("SELECT id::text FROM database_identity").fetchone()
    assert row
    return str(row[0])


def claims(environment: dict[str, str]) -> dict[TopicPartition, str]:
    """What the group's commits say of each partition."""
    return {partition: one.metadata for partition, one in group_offsets(environment).items()}


@contextmanager
def running(environment: dict[str, str]) -> Iterator[WorkerProcess]:
    with WorkerProcess(environment) as worker:
        yield worker
        assert worker.terminate() == 0


def test_another_database_stops_until_an_operator_takes_a_partition_over(
    two: tuple[dict[str, str], dict[str, str]],
) -> None:
    first, second = two
    topic = first["KAFKA_METER_TOPIC"]
    partition = TopicPartition(topic, 0)
    send(first, meter_value("A"))
    with running(first):
        wait_until(lambda: counted(first)["stored"] == 1, "the first has read it")
        wait_until(lambda: len(claims(first)) == 12, "it claims all partitions")
    assert claims(first)[partition] == f"energy:{identity(first)}"
    with running(second) as worker:
        wait_until(lambda: identity(first) in reasons(worker).get(f"{topic}-0", ""), "stopped")
        assert "KAFKA_GROUP_ID" in reasons(worker)[f"{topic}-0"]
        assert counted(second)["read"] == 0
        done = command(second, *SET, topic)
        assert done.returncode == 0, done.stderr
        wait_until(lambda: counted(second)["stored"] == 1, "the second reads it")
        wait_until(lambda: f"{topic}-0" not in reasons(worker), "it goes on")
        assert claims(second)[partition] == f"energy:{identity(second)}"
        assert f"{topic}-1" in reasons(worker)
    with running(first) as worker:
        wait_until(lambda: identity(second) in reasons(worker).get(f"{topic}-0", ""), "stopped")
        wait_until(lambda: list(reasons(worker)) == [f"{topic}-0"], "the others go on")
        assert command(first, *SET, topic).returncode == 0
        wait_until(lambda: counted(first)["read"] == 2, "the first has it back")
    with running(second) as worker:
        wait_until(
            lambda: identity(first) in reasons(worker).get(f"{topic}-0", ""), "stopped again"
        )


def test_databases_that_begin_together_say_so_on_both_sides(
    two: tuple[dict[str, str], dict[str, str]],
) -> None:
    first, second = two
    with running(first) as one, running(second) as other:
        for worker, stranger in ((one, second), (other, first)):
            name = identity(stranger)
            wait_until(
                lambda: name in str(degraded(worker)) + str(reasons(worker)),  # noqa: B023
                "the other database is named",
            )
