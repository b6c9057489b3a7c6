"""Producing to a test's topics, and reading as the worker does."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.structs import OffsetAndMetadata

from brokers.connect import connected_admin, kafka_options
from ingest_worker.records.handout import hand_out_lean_records
from ingest_worker.records.unpacking import AT_ONCE
from schemas.settings import Settings
from tests.settings import settings_of

PARTITIONS = 6
"""Of each topic of a test."""


def options_of(environment: Mapping[str, str]) -> dict[str, Any]:
    """How any client of aiokafka reaches the environment's brokers, as the product does."""
    return kafka_options(settings_of(dict(environment)))


def send(environment: dict[str, str], *values: bytes, partition: int = 0) -> None:
    """Write records to one partition of the meters' topic, in this order."""

    async def produce() -> None:
        topic = environment["KAFKA_METER_TOPIC"]
        async with AIOKafkaProducer(**options_of(environment)) as producer:
            sending = [await producer.send(topic, value, partition=partition) for value in values]
            await asyncio.gather(*sending)

    asyncio.run(produce())


def group_offsets(environment: dict[str, str]) -> dict[TopicPartition, OffsetAndMetadata]:
    """What the group has committed to Kafka, as lag tools see it."""

    async def ask() -> dict[TopicPartition, OffsetAndMetadata]:
        async with connected_admin(settings_of(environment)) as admin:
            found: dict[TopicPartition, OffsetAndMetadata]
            found = await admin.list_consumer_group_offsets(environment["KAFKA_GROUP_ID"])
        return found

    return asyncio.run(ask())


def hand_out_lean(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Have consumers hand out records as the worker's do, until the test ends."""
    for name in ("MemoryRecords", "PartitionRecords", "FetchResult"):
        monkeypatch.setattr(fetcher, name, getattr(fetcher, name))
    for batch in (DefaultRecordBatch, LegacyRecordBatch):
        module = sys.modules[batch.__module__]
        for codec in AT_ONCE:
            name = f"{codec}_decode"
            if hasattr(module, name):
                monkeypatch.setattr(module, name, getattr(module, name))
    hand_out_lean_records(settings)


def kafka_records(environment: dict[str, str], topic_name: str) -> list[Any]:
    """Everything in a topic now, partition by partition."""

    async def read() -> list[Any]:
        topic = environment[topic_name]
        consumer = AIOKafkaConsumer(**options_of(environment), auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[Any] = []
            while len(records) < sum(ends.values()):
                for found in (await consumer.getmany(timeout_ms=1000)).values():
                    records.extend(found)
            return sorted(records, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    return asyncio.run(read())
