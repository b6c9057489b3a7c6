"""The process's one Kafka producer: idempotent, with acks=all and a time limit on each delivery.

It connects and reconnects in the background, so that the API works without Kafka. A delivery that
takes too long is answered with 503, which promises nothing: Kafka may still get those records once
it can be reached (when the gateway sends them again, they are duplicates). Until they are delivered
or dropped, their partitions take no other records.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from api.http.errors import ApiError, unavailable
from api.kafka_records import MAX_RECORD_BYTES, OutgoingRecord
from api.metrics import DELIVERED, FAILED, Metrics
from brokers.connect import kafka_options
from brokers.refusals import why_not_connected
from reporting.applications import Application
from reporting.tracing import traceparent
from reporting.waiting import NOT_CONNECTED, Waiting
from schemas.settings import Settings
from schemas.text import one_line

DELIVERY_TIMEOUT_S = 7.0
CONNECTION_WAIT_S = 2.0
"""How long a request waits for a producer that is still connecting."""
RECONNECT_S = 1.0
REQUEST_TIMEOUT_MS = 5_000
METADATA_MAX_AGE_MS = 15_000
CHECK_TIMEOUT_S = 2.0
STOP_TIMEOUT_S = 3.0
MAX_BATCH_BYTES = MAX_RECORD_BYTES + 100_000


class Producer:
    """Delivers records to Kafka, and knows whether Kafka and the topics can be used."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.name = f"Kafka at {settings.kafka_bootstrap_servers}"
        self._waiting = Waiting({self.name: NOT_CONNECTED})
        self._topics = set(settings.streams)
        self._unseen = set(settings.topics) - self._topics
        self._also_read: set[str] = set()
        self._options = kafka_options(settings)
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None
        self._connected = asyncio.Event()
        self._broken = asyncio.Event()
        self._overdue: Counter[TopicPartition] = Counter()

    @property
    def trouble(self) -> str | None:
        """Why Kafka cannot be used, as far as is known; None when it can."""
        return self._waiting.reasons.get(self.name)

    @property
    def _refused(self) -> str | None:
        """Why some topics take no records of this process, though Kafka can be used."""
        reasons = self._waiting.reasons.items()
        return "; ".join(why for name, why in reasons if name != self.name) or None

    async def run(self) -> None:
        """Keep a producer connected until cancelled."""
        while True:
            producer = AIOKafkaProducer(
                **self._options,
                client_id=Application.API,
                enable_idempotence=True,
                acks="all",
                max_batch_size=MAX_BATCH_BYTES,
                request_timeout_ms=REQUEST_TIMEOUT_MS,
                metadata_max_age_ms=METADATA_MAX_AGE_MS,
            )
            try:
                await self._serve(producer)
            except (KafkaError, OSError, TimeoutError) as error:
                self._waiting.missing(self.name, await self._reason_of(error))
            finally:
                self._connected.clear()
                self._producer = None
                await _stop(producer)
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self, producer: AIOKafkaProducer) -> None:
        """Start the producer and let requests use it until one of them finds it broken."""
        await producer.start()
        if missing := await self._missing_topics(producer):
            self._waiting.missing(self.name, missing)
            return
        self._broken.clear()
        self._producer = producer
        self._connected.set()
        self._waiting.present(self.name)
        await self._broken.wait()

    async def partitions(self, topic: str) -> list[int]:
        """The topic's partitions, sorted. Raises ApiError 503 when Kafka is away."""
        producer = await self._connected_producer()
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                return sorted(await producer.partitions_for(topic))
        except (KafkaError, TimeoutError):
            raise self._away() from None

    async def all_partitions(self) -> list[TopicPartition]:
        """The partitions of all topics that workers read. Raises ApiError 503 without Kafka."""
        if self.trouble is not None:
            raise self._away()
        if self._unseen and self._producer:  # to ask for it by name may create it
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                known = (await self._producer.client.fetch_all_metadata()).topics()
            self._also_read |= self._unseen & known
            self._unseen -= known
        return [
            TopicPartition(topic, number)
            for topic in sorted(self._topics | self._also_read)
            for number in await self.partitions(topic)
        ]

    async def deliver(self, records: Sequence[OutgoingRecord]) -> None:
        """Return once Kafka has every record for good, in order within a partition.

        Raises ApiError 503 when that is not so within DELIVERY_TIMEOUT_S.
        """
        outcome = FAILED
        try:
            await self._deliver(records)
            outcome = DELIVERED
        finally:
            for record in records:
                self._metrics.produced.labels(record.topic, outcome).inc(record.readings)

    async def _deliver(self, records: Sequence[OutgoingRecord]) -> None:
        producer = await self._connected_producer()
        if any((record.topic, record.partition) in self._overdue for record in records):
            raise self._away()
        sent: list[tuple[OutgoingRecord, asyncio.Future[Any]]] = []
        trace = traceparent()
        headers = [("traceparent", trace.encode())] if trace else None
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                for record in records:
                    future = await producer.send(
                        record.topic, record.value, record.key, record.partition, headers=headers
                    )
                    sent.append((record, future))
                    await asyncio.sleep(0)  # a record is up to MAX_RECORD_BYTES of work
                await asyncio.wait([future for _, future in sent])
            for record, future in sent:
                self._note_refusal(record.topic, future)
                future.result()
        except TimeoutError:
            self._waiting.missing(
                self.name, f"a delivery took more than {DELIVERY_TIMEOUT_S:.0f} s"
            )
            raise self._away() from None
        except TopicAuthorizationFailedError:
            self._broken.set()
            raise self._away() from None
        except (KafkaError, AssertionError) as error:
            # aiokafka asserts that the partition exists. After either error a new producer is made.
            self._waiting.missing(self.name, error)
            self._broken.set()
            raise self._away() from None
        finally:
            self._watch_overdue(sent)

    def _note_refusal(self, topic: str, delivery: asyncio.Future[Any]) -> None:
        """Note that this process may not write to the topic, until a delivery succeeds."""
        error = delivery.exception()
        if isinstance(error, TopicAuthorizationFailedError):
            self._waiting.missing(f"topic {topic}", error)
        elif error is None:
            self._waiting.present(f"topic {topic}")

    def _watch_overdue(self, sent: list[tuple[OutgoingRecord, asyncio.Future[Any]]]) -> None:
        for record, future in sent:
            if not future.done():
                partition = TopicPartition(record.topic, record.partition)
                self._overdue[partition] += 1
                future.add_done_callback(partial(self._arrived, partition))

    def _arrived(self, partition: TopicPartition, future: asyncio.Future[Any]) -> None:
        self._overdue[partition] -= 1
        if self._overdue[partition] <= 0:
            del self._overdue[partition]
        if not future.cancelled() and future.exception() is None and not self._overdue:
            self._waiting.present(self.name)

    async def check(self) -> str | None:
        """Ask the brokers for an answer now: None, or why Kafka cannot be used."""
        producer = self._producer
        if producer is None:
            return self.trouble
        if self._overdue:
            return f"{len(self._overdue)} partitions have overdue deliveries"
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await self._missing_topics(producer) or self._refused
        except TimeoutError:
            return f"no answer within {CHECK_TIMEOUT_S:.0f} s"
        except KafkaError as error:
            return await self._reason_of(error)

    async def _reason_of(self, error: Exception) -> str:
        """Why Kafka failed us, also when aiokafka says only that nobody answered."""
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                return await why_not_connected(self._options) or one_line(error)
        except TimeoutError:
            return one_line(error)

    async def _missing_topics(self, producer: AIOKafkaProducer) -> str | None:
        """Why a stream cannot be delivered, for want of its topic; None when it can.

        It asks for all topics, since a question for one by name may create it.
        """
        known = (await producer.client.fetch_all_metadata()).topics()
        missing = sorted(self._topics - known)
        return f"there is no topic {' and no topic '.join(missing)}" if missing else None

    async def _connected_producer(self) -> AIOKafkaProducer:
        try:
            async with asyncio.timeout(CONNECTION_WAIT_S):
                await self._connected.wait()
        except TimeoutError:
            raise self._away() from None
        if self._producer is None:
            raise self._away()
        return self._producer

    def _away(self) -> ApiError:
        return unavailable(f"{self.name} cannot take readings now; nothing was promised")


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop the producer: what is queued gets STOP_TIMEOUT_S to be delivered."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await producer.stop()
    except (KafkaError, TimeoutError):
        pass
