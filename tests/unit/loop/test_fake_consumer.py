"""The fake consumer keeps the promises that aiokafka's keeps in tests/integration."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition

from tests.unit.loop.consumer_contract import PROMISES, Promise, Rebalances
from tests.unit.loop.fake_consumer import FakeConsumer, FakeLog


class FakeLogs:
    """Logs in memory."""

    def __init__(self) -> None:
        self.partitions = [TopicPartition("t", number) for number in range(3)]
        self._logs = {partition: FakeLog() for partition in self.partitions}

    async def append(self, partition: TopicPartition, *values: bytes | None) -> None:
        self._logs[partition].append(*values)

    async def append_transaction(
        self, partition: TopicPartition, *values: bytes, committed: bool
    ) -> None:
        if committed:
            self._logs[partition].append(*values)
        else:
            self._logs[partition].skip(len(values))
        self._logs[partition].skip(1)

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        self._logs[partition].delete_before(offset)

    @asynccontextmanager
    async def member(self, listener: Rebalances | None = None) -> AsyncIterator[FakeConsumer]:
        consumer = FakeConsumer(self._logs)
        consumer.subscribe(["t"], listener=listener or Rebalances())
        yield consumer


@pytest.mark.parametrize("promise", PROMISES, ids=lambda promise: promise.__name__)
def test_the_fake_consumer_keeps(promise: Promise) -> None:
    asyncio.run(promise(FakeLogs()))
