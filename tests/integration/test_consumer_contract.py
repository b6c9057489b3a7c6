"""aiokafka's consumer keeps the promises that the loop relies on, against a real broker."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete

from brokers.connect import connected_admin, kafka_options
from ingest_worker.loop.consumer import new_consumer
from tests.conftest import PARTITIONS, create_topics
from tests.kafka import hand_out_lean
from tests.settings import settings_of
from tests.unit.loop.consumer_contract import PROMISES, WITHIN_S, Promise, Rebalances

POLL_S = 0.05
_numbers = count(1)


class RealLogs:
    """A topic of the test's own on the environment's broker."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._settings = settings_of(environment)
        self._options = kafka_options(self._settings)
        self._topic = f"{environment['KAFKA_METER_TOPIC']}-contract-{next(_numbers)}"
        self.partitions = [TopicPartition(self._topic, number) for number in range(PARTITIONS)]
        asyncio.run(create_topics(environment, [self._topic]))

    async def append(self, partition: TopicPartition, *values: bytes | None) -> None:
        async with AIOKafkaProducer(**self._options) as producer:
            for value in values:
                await producer.send_and_wait(
                    partition.topic, value, key=b"k", partition=partition.partition
                )

    async def append_transaction(
        self, partition: TopicPartition, *values: bytes, committed: bool
    ) -> None:
        async with AIOKafkaProducer(**self._options, transactional_id=self._topic) as producer:
            await producer.begin_transaction()
            for value in values:
                await producer.send_and_wait(partition.topic, value, partition=partition.partition)
            if committed:
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        async with connected_admin(self._settings) as admin:
            await admin.delete_records({partition: RecordsToDelete(before_offset=offset)})

    @asynccontextmanager
    async def member(self, listener: Rebalances | None = None) -> AsyncIterator[Any]:
        consumer = new_consumer(self._options, group_id=self._topic, flush_interval_ms=10)
        async with consumer:
            async with asyncio.timeout(WITHIN_S):
                while self._topic not in await consumer.topics():
                    await asyncio.sleep(POLL_S)
                consumer.subscribe([self._topic], listener=listener or Rebalances())
                while not consumer.assignment():
                    await asyncio.sleep(POLL_S)
            yield consumer


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_real_consumer_keeps(
    promise: Promise, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_out_lean(monkeypatch, settings_of(environment))
    logs = RealLogs(environment)
    asyncio.run(promise(logs))
