"""Producers that send readings the whole time of a scenario, and know what must become of them."""

import asyncio
import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer

from tests.kafka import options_of
from tests.truth import PARTITIONS, Expected, Generator, Mix, Sent, make_records

TICK_S = 0.05
SINGLES = 0.1
"""The share of readings that travel as records of their own."""
LONGEST_TICK_S = 1.0
"""What a broker's absence held up is not sent all at once."""
ABORTED = 1 / 3
METADATA_MAX_AGE_MS = 3_000
DELIVERY_TIMEOUT_MS = 120_000
Record = tuple[str, int, bytes, list[Sent]]
"""Stream, partition, value, readings."""


class Gateway:
    """Sends `rate` readings a second, from a thread of its own.

    `rate` and `moved` may be changed at any time.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        rate: int,
        seed: int,
        streams: Sequence[str] = ("meter", "vehicle"),
        mix: Mix = Mix(),  # noqa: B008
        copies: int = 1,
        transactions: bool = False,
    ) -> None:
        """With more `copies`, every record is sent again later, to any partition.

        With `transactions`, a third of them is aborted. With either, `mix` must be free of
        conflicts: which reading is the first would not be known.
        """
        assert mix.conflicts == 0 or not (copies > 1 or transactions)
        self.expected = {stream: Expected() for stream in streams}
        self.rate = rate
        self.moved: dict[int, int] = {}
        """Partitions whose readings go elsewhere, as soon as that exists."""
        self._environment = environment
        self._generators = {stream: Generator(stream, seed, mix) for stream in streams}
        self._random = random.Random(seed)
        self._copies = copies
        self._transactions = transactions
        self._to_repeat: list[Record] = []
        self._pending: dict[tuple[str, int], deque[tuple[Any, bytes, list[Sent]]]] = {}
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        if self._thread:
            self._thread.join(DELIVERY_TIMEOUT_MS / 1000)

    @property
    def readings(self) -> int:
        """Readings that Kafka has acknowledged so far."""
        return sum(e.readings for e in self.expected.values())

    def start(self) -> None:
        """Send, or go on sending."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Stop sending; returns once Kafka has everything."""
        self._stopping.set()
        if self._thread:
            self._thread.join()
        self.check()

    def check(self) -> None:
        """Raises what kept it from sending."""
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._produce())
        except BaseException as error:  # noqa: BLE001
            self._failure = error

    async def _produce(self) -> None:
        producer = AIOKafkaProducer(
            **options_of(self._environment),
            enable_idempotence=True,
            transactional_id=self._environment["KAFKA_GROUP_ID"] if self._transactions else None,
            request_timeout_ms=DELIVERY_TIMEOUT_MS,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            linger_ms=10,
        )
        async with producer:
            at = time.monotonic()
            while not self._stopping.is_set():
                await asyncio.sleep(TICK_S)
                now = time.monotonic()
                tick = self._in_a_transaction if self._transactions else self._tick
                await tick(producer, min(now - at, LONGEST_TICK_S))
                at = now
            for record in self._repeated(everything=True):
                await self._send(producer, record)
            for sending in self._pending.values():
                await asyncio.gather(*(future for future, _, _ in sending))
            self._note()

    async def _tick(self, producer: AIOKafkaProducer, seconds: float) -> None:
        each = self.rate * seconds / len(self._generators)
        singles, in_arrays = self._draw(each * SINGLES), self._draw(each * (1 - SINGLES))
        for stream, generator in self._generators.items():
            for partition, value, sent in make_records(generator, singles, in_arrays):
                await self._send(producer, (stream, partition, value, sent))
                for _ in range(self._copies - 1):
                    elsewhere = self._random.randrange(PARTITIONS)
                    self._to_repeat.append((stream, elsewhere, value, sent))
        for record in self._repeated(everything=False):
            await self._send(producer, record)
        if not self._transactions:
            self._note()

    async def _in_a_transaction(self, producer: AIOKafkaProducer, seconds: float) -> None:
        await producer.begin_transaction()
        await self._tick(producer, seconds)
        if self._random.random() < ABORTED:
            await producer.flush()
            await producer.abort_transaction()
            self._pending.clear()
        else:
            await producer.commit_transaction()
            self._note()

    def _draw(self, count: float) -> int:
        """A whole number that is `count` on average."""
        return int(count + self._random.random())

    def _repeated(self, *, everything: bool) -> list[Record]:
        """Some of the records that are due to be sent again, in any order."""
        self._random.shuffle(self._to_repeat)
        count = len(self._to_repeat) if everything else len(self._to_repeat) // 4
        due, self._to_repeat = self._to_repeat[:count], self._to_repeat[count:]
        return due

    async def _send(self, producer: AIOKafkaProducer, record: Record) -> None:
        stream, partition, value, sent = record
        topic = self._environment[f"KAFKA_{stream.upper()}_TOPIC"]
        moved = self.moved.get(partition, partition)
        if moved in await producer.partitions_for(topic):
            partition = moved
        future = await producer.send(topic, value, partition=partition)
        self._pending.setdefault((stream, partition), deque()).append((future, value, sent))

    def _note(self) -> None:
        """Note what Kafka has acknowledged, in the order of each partition."""
        for (stream, partition), sending in self._pending.items():
            while sending and sending[0][0].done():
                future, value, sent = sending.popleft()
                offset = future.result().offset
                assert offset >= 0, "Kafka did not say where it put a record"
                self.expected[stream].expect(partition, offset, value, sent)
