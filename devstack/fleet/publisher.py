"""Hands records to Kafka, in order within a partition and each exactly once."""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from brokers.connect import kafka_options
from devstack.errors import DevstackError
from devstack.fleet.gateway import Record
from reporting.applications import Application
from schemas.settings import Settings
from schemas.streams import METER, VEHICLE

LINGER_MS = 20
BATCH_BYTES = 256 * 1024
REQUEST_TIMEOUT_MS = 120_000
"""Outages shorter than this are waited out."""
YIELD_EVERY_RECORDS = 500


class Publisher:
    """A connected producer, for as long as it is entered."""

    def __init__(self, settings: Settings) -> None:
        self._topics = {stream.name: settings.topic(stream) for stream in (METER, VEHICLE)}
        self._servers = settings.kafka_bootstrap_servers
        self._options = kafka_options(settings)
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self._producer = AIOKafkaProducer(
            **self._options,
            client_id=Application.FLEET,
            enable_idempotence=True,
            linger_ms=LINGER_MS,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=REQUEST_TIMEOUT_MS,
        )
        try:
            await self._producer.start()
        except KafkaError as error:
            await self._producer.stop()
            raise DevstackError(f"Kafka at {self._servers} does not answer: {error}") from error
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()

    async def partitions(self) -> dict[str, int]:
        """The number of partitions of each stream's topic, by the stream's name.

        Raises DevstackError when a topic does not exist.
        """
        counts = {}
        known = (await self._producer.client.fetch_all_metadata()).topics()
        for stream, topic in self._topics.items():
            if topic not in known:
                raise DevstackError(f"there is no topic {topic} on Kafka at {self._servers}")
            counts[stream] = len(await self._producer.partitions_for(topic))
        return counts

    async def send(self, records: Sequence[Record]) -> None:
        """Queue records. Raises DevstackError once an earlier one could not be delivered."""
        for number, record in enumerate(records, 1):
            topic = self._topics[record.stream.name]
            future = await self._producer.send(topic, record.value, record.key, record.partition)
            future.add_done_callback(self._delivered)
            if number % YIELD_EVERY_RECORDS == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._check()

    async def flush(self) -> None:
        """Return once Kafka has acknowledged everything. Raises DevstackError when it does not."""
        await self._producer.flush()
        self._check()

    def _delivered(self, future: "asyncio.Future[Any]") -> None:
        self._failure = self._failure or (
            asyncio.CancelledError() if future.cancelled() else future.exception()
        )

    def _check(self) -> None:
        if self._failure is not None:
            raise DevstackError(f"Kafka did not take a record: {self._failure!r}")
