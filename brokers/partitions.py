"""Partitions of Kafka's topics: their names, and where their logs start and end."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from brokers.connect import REQUEST_TIMEOUT_MS, connected_admin, kafka_options
from reporting.command import say
from schemas.settings import Settings

Bounds = dict[TopicPartition, tuple[int, int]]
"""By partition: the first offset of its log, and the offset after its last record."""


def name_of(partition: TopicPartition) -> str:
    """The partition's name as Kafka's own tools print it, such as meter-telemetry-0."""
    return f"{partition.topic}-{partition.partition}"


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, of so many, that Kafka's own producers choose for a record of this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


async def bounds_of(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> Bounds:
    """Start and end of these partitions' logs. Raises KafkaError.

    For a consumer of committed records, a log ends where the oldest open transaction begins.
    """
    if not partitions:
        return {}
    starts = await consumer.beginning_offsets(partitions)
    ends = await consumer.end_offsets(partitions)
    return {partition: (starts[partition], ends[partition]) for partition in partitions}


async def log_bounds(settings: Settings, topics: Collection[str]) -> Bounds:
    """Start and end of every partition of those topics that exist. Raises KafkaError."""
    async with connected_admin(settings) as admin:
        # Asking for a topic by name may create it; asking for none means all of them.
        there = sorted(set(topics).intersection(await admin.list_topics()))
        described = await admin.describe_topics(there) if there else []
    partitions = [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
    if not partitions:
        return {}
    async with AIOKafkaConsumer(
        **kafka_options(settings),
        isolation_level="read_committed",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    ) as consumer:
        return await bounds_of(consumer, partitions)


def known_bounds(settings: Settings, topics: Collection[str]) -> Bounds:
    """As `log_bounds`; none, with a line on stderr, when Kafka does not answer."""
    try:
        return asyncio.run(log_bounds(settings, topics))
    except KafkaError as error:
        say(f"lag is unknown, Kafka does not answer: {error}", level="warning")
        return {}


def log_ends(settings: Settings, topics: Collection[str]) -> dict[TopicPartition, int]:
    """The end of every partition's log; none, with a line on stderr, when Kafka does not answer."""
    return {partition: end for partition, (_, end) in known_bounds(settings, topics).items()}


def read_until(
    bounds: Bounds, read: Mapping[TopicPartition, tuple[int, int | None]], now: datetime
) -> datetime | None:
    """The time up to which every record Kafka got is in PostgreSQL; None when that is unknown.

    `read`: the position of each partition, and Kafka's time of the last record before it, in ms.
    """
    until = now
    for partition, (start, end) in bounds.items():
        position, last_ms = read.get(partition, (start, None))
        if position >= end:
            continue
        if last_ms is None:
            return None
        until = min(until, datetime.fromtimestamp(last_ms / 1000, UTC))
    return until


def lag(ends: Mapping[TopicPartition, int], row: Mapping[str, Any]) -> int | None:
    """Records from the position in a row of `ingest_offsets` to its log's end; None if unknown."""
    end = ends.get(TopicPartition(row["topic"], row["partition"]))
    return None if end is None else end - row["next_offset"]
