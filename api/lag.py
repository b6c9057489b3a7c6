"""How many records wait to be read: the ends of Kafka's logs less the positions in PostgreSQL."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from api.http.errors import ApiError
from brokers.connect import kafka_options
from brokers.partitions import Bounds, bounds_of
from reporting.applications import Application
from schemas.settings import Settings

ANSWER_TIMEOUT_S = 3.0


def lag_of(bounds: Bounds, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Records that were not read yet; a partition without a position counts from its start."""
    return {
        partition: max(0, end - positions.get(partition, start))
        for partition, (start, end) in bounds.items()
    }


class LogReader:
    """Asks where the logs end, by a consumer outside of all groups that is made when first asked.

    It sees what workers see: a log ends where the oldest open transaction begins.
    """

    def __init__(
        self, settings: Settings, partitions: Callable[[], Awaitable[list[TopicPartition]]]
    ) -> None:
        """`partitions` names those of our topics; it may raise ApiError."""
        self._options = kafka_options(settings)
        self._partitions = partitions
        self._consumer: AIOKafkaConsumer | None = None
        self._asking: asyncio.Task[Bounds | None] | None = None
        self._dropping: set[asyncio.Task[None]] = set()

    async def bounds(self) -> Bounds | None:
        """Start and end of each partition's log; None when Kafka does not answer in time.

        Those who ask at the same time share one answer.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Close the consumer, if there is one."""
        if self._asking:
            self._asking.cancel()
            await asyncio.wait([self._asking])
        self._drop()
        if self._dropping:
            await asyncio.wait(self._dropping)

    async def _ask(self) -> Bounds | None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                partitions = await self._partitions()
                consumer = self._consumer or await self._connect()
                return await bounds_of(consumer, partitions)
        except (ApiError, KafkaError, OSError, TimeoutError, ValueError):
            self._drop()
            return None

    async def _connect(self) -> AIOKafkaConsumer:
        self._consumer = AIOKafkaConsumer(
            **self._options,
            client_id=Application.API,
            isolation_level="read_committed",
            request_timeout_ms=int(ANSWER_TIMEOUT_S * 1000),
        )
        await self._consumer.start()
        return self._consumer

    def _drop(self) -> None:
        """Close the consumer in the background: a frozen broker may take its time."""
        consumer, self._consumer = self._consumer, None
        if consumer:
            task = asyncio.create_task(_stop(consumer))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await consumer.stop()
    except (KafkaError, OSError, TimeoutError):
        pass
