"""How many records wait to be read: the ends of Kafka's logs less the positions in PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from brokers.connect import kafka_options
from brokers.partitions import bounds_of
from reporting.applications import Application
from schemas.settings import Settings

ANSWER_TIMEOUT_S = 3.0


class LagReader:
    """Asks Kafka through a consumer outside of all groups, which is made at the first question."""

    def __init__(self, settings: Settings) -> None:
        self._options = kafka_options(settings)
        self._consumer: AIOKafkaConsumer | None = None
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Close the consumer, if there is one."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def lag(
        self, partitions: Sequence[TopicPartition], positions: Mapping[TopicPartition, int]
    ) -> dict[str, int] | None:
        """Records that were not read yet, by topic; None when Kafka does not answer.

        A partition without a position counts from its log's start.
        """
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S), self._lock:
                consumer = self._consumer or await self._connect()
                bounds = await bounds_of(consumer, partitions)
        except (KafkaError, OSError, TimeoutError, ValueError):
            await self._drop()
            return None
        lag = dict.fromkeys((partition.topic for partition in partitions), 0)
        for partition, (start, end) in bounds.items():
            lag[partition.topic] += max(0, end - positions.get(partition, start))
        return lag

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            **self._options,
            client_id=Application.API,
            request_timeout_ms=int(ANSWER_TIMEOUT_S * 1000),
        )
        self._consumer = consumer
        await consumer.start()
        return consumer

    async def _drop(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self.close()
        except (KafkaError, OSError, TimeoutError):
            pass
