"""What an operator, or fate, does to topics."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete
from aiokafka.errors import KafkaError

from brokers.connect import connected_admin
from tests.conftest import create_topics
from tests.kafka import options_of
from tests.settings import settings_of
from tests.workers import command, wait_until

Environment = Mapping[str, str]


def delete_topic(environment: Environment, topic: str) -> None:
    """Delete it; returns once no broker knows it."""
    ask(environment, lambda admin: admin.delete_topics([topic]))

    def gone() -> bool:
        topics: list[str] = ask(environment, lambda admin: admin.list_topics())
        return topic not in topics

    wait_until(gone, f"{topic} is gone")


def create_topic(environment: Environment, topic: str) -> None:
    """Create it anew; returns once it can be written to."""

    def created() -> bool:
        try:
            asyncio.run(create_topics(dict(environment), [topic]))
        except KafkaError:
            return False
        return True

    wait_until(created, f"{topic} is created")


def delete_records(environment: Environment, topic: str, before: Mapping[int, int]) -> None:
    """What retention does: the records of each partition below an offset are gone."""
    records = {
        TopicPartition(topic, partition): RecordsToDelete(before_offset=offset)
        for partition, offset in before.items()
    }
    ask(environment, lambda admin: admin.delete_records(records))


def add_partitions(environment: Environment, topic: str, total: int) -> None:
    """The topic has so many partitions from now on."""
    partitions = {topic: NewPartitions(total_count=total)}
    ask(environment, lambda admin: admin.create_partitions(partitions))


def log_ends(environment: Environment, topic: str, partitions: int) -> dict[int, int]:
    """The end of each partition's log."""

    async def ends() -> dict[int, int]:
        async with AIOKafkaConsumer(**options_of(environment)) as consumer:
            sources = [TopicPartition(topic, number) for number in range(partitions)]
            found = await consumer.end_offsets(sources)
        return {source.partition: end for source, end in found.items()}

    return asyncio.run(ends())


def set_positions(environment: Environment, topic: str, to: str, *options: str) -> None:
    """As an operator does, for all partitions of a topic."""
    words = ("--topic", topic, "--partition", "all", "--to", to, *options)
    done = command(dict(environment), "ingest_worker", "positions", "set", *words)
    assert done.returncode == 0, done.stderr


def leader(environment: Environment, topic: str, partition: int) -> int:
    """The node id of the partition's leader."""
    (described,) = ask(environment, lambda admin: admin.describe_topics([topic]))
    (node,) = [p["leader"] for p in described["partitions"] if p["partition"] == partition]
    return int(node)


def coordinator(environment: Environment) -> int:
    """The node id of the group's coordinator."""
    group = environment["KAFKA_GROUP_ID"]
    return int(ask(environment, lambda admin: admin.find_coordinator(group)))


def ask(environment: Environment, question: Callable[[Any], Awaitable[Any]]) -> Any:
    """What the cluster answers to an administrator's question."""

    async def ask() -> Any:
        async with connected_admin(settings_of(dict(environment))) as admin:
            return await question(admin)

    return asyncio.run(ask())
