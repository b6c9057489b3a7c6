"""The loop: the story of a batch, from Kafka to PostgreSQL.

While one batch is written (in threads), the next is fetched and decoded. Whatever makes our view
of the positions doubtful (a rebalance, another owner, a failed fetch, an operator) ends the story
at once: the batches in hand are dropped, the positions read again, and reading starts from there.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.errors import FencedError, InDoubtError, LostPositionError
from ingest_worker.health import Status
from ingest_worker.loop.source import Source
from ingest_worker.loop.takeover import let_go, take_over
from ingest_worker.write.batch import MAX_BATCH_BYTES, Batch, Part
from ingest_worker.write.ledger import APPLICATION_NAME, Ledger
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.sink import CROSSED, TRANSACTION_TIMEOUT_S, Outcome, Sink
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.text import one_line
from sql.connect import conninfo

MORE_WITHIN_S = 0.05
"""How long a batch that is not due yet waits for more records before it is looked at again."""
IDLE_WAIT_S = 0.5
TWO_LANES_FROM_READINGS = 5_000
"""Smaller batches go in one transaction; larger ones in one a stream, side by side."""
ACKNOWLEDGE_EVERY_S = 5.0
FAR_BEHIND_RECORDS = 10_000
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
STOP_GRACE_S = 15.0
STALE_BATCH_S = 600.0
"""Much less than housekeeping waits with retiring a day, so that no batch brings one back."""
FLUSH_DEADLINE_S = TRANSACTION_TIMEOUT_S + 30

LOCKED_OUT_S = 30.0
"""So long no transaction of ours lasts: who holds a lock for longer is somebody else."""

log = logging.getLogger(__name__)


class Worker:
    """One replica: one group member, two connections."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        status: Status,
        connections: Connections,
        stopping: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._source = source
        self._status = status
        self._decoders = settings.decoders()
        hints = {name: NewestKnown() for name in STREAMS}
        where = conninfo(settings, APPLICATION_NAME)
        ledger = Ledger(settings.kafka_group_id, settings.rejected_raw_limit_mb * 1_000_000)
        self.sinks = [Sink(connections, where, ledger, hints) for _ in range(2)]
        self.committed: dict[TopicPartition, int] = {}
        """The held partitions' positions, as last seen in PostgreSQL or written there."""
        self._next: dict[TopicPartition, int] = {}
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._stopping = stopping
        self._writing: asyncio.Task[None] | None = None
        self._acknowledged_at = 0.0
        self._acknowledging: asyncio.Task[None] | None = None
        self._lost: LostPositionError | None = None
        self.doubt: str | None = None
        """Set by whoever sees that positions are not what we take them for."""

    async def run(self) -> None:
        """Work until `stopping` is set. Any disturbance leads back to reading the positions."""
        self._source.join()
        delay_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                await self._take_over()
                delay_s = FIRST_RETRY_S
                await self._drain()
                metrics.TAKEOVERS.labels("doubt" if self.doubt else "rebalance").inc()
            except LostPositionError as lost:
                self._lost = lost
            except (FencedError, InDoubtError, KafkaError, psycopg.Error) as error:
                self._note(error)
                await self._wait(delay_s)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
        await self._abandon()
        await self._acknowledge()
        for sink in self.sinks:
            sink.close()

    async def _drain(self) -> None:
        """Fetch, decode, write, acknowledge; until interrupted."""
        while not self._interrupted():
            batch = await self._collect()
            await self._written()
            if batch.parts and not self._interrupted():
                self._writing = asyncio.create_task(self._write(batch))
            if time.monotonic() - self._acknowledged_at > ACKNOWLEDGE_EVERY_S:
                self._acknowledging = asyncio.create_task(self._acknowledge())

    async def _collect(self) -> Batch:
        """Fetch and decode one batch; meanwhile the one before it is being written."""
        batch = Batch(
            self._decoders,
            max_readings=self._settings.batch_size,
            max_bytes=MAX_BATCH_BYTES,
            limits=lambda: self._settings.clock_limits(datetime.now(UTC)),
        )
        began = 0.0
        wait_s = IDLE_WAIT_S
        while not self._interrupted() and not self._write_failed():
            for partition, records in await self._source.fetch(wait_s):
                began = began or time.monotonic()
                taken = 0
                if not batch.full:
                    taken = batch.add(partition, self._next[partition], records)
                if taken:
                    self._next[partition] = records[taken - 1].offset + 1
                self._source.put_back(partition, records[taken:])
            if not batch.parts and not self.moving():
                await self._pass_over_gaps()
            cause = self._due(batch, began)
            if cause:
                metrics.FLUSHES.labels(cause).inc()
                return batch
            wait_s = MORE_WITHIN_S if batch.parts else IDLE_WAIT_S
            await asyncio.sleep(0)
        return batch

    async def _pass_over_gaps(self) -> None:
        """Where a log ends without records, stand at its end: else it would look like lag."""
        for partition, gap in (await self._source.trailing()).items():
            if self._next.get(partition) == gap.position:
                await asyncio.to_thread(self.sinks[0].pass_over, partition, gap.position, gap.first)
                self._source.pass_over(partition, gap)
                self._next[partition] = self.committed[partition] = gap.first
                metrics.POSITION.labels(*partition).set(gap.first)

    def _due(self, batch: Batch, began: float) -> str | None:
        """Why the batch is to be flushed now, if it is."""
        if batch.full:
            return "full"
        if not batch.parts or (self._writing and not self._writing.done()):
            return None
        if self._caught_up(batch):
            return "caught_up"
        if time.monotonic() - began >= self._settings.flush_interval_ms / 1000:
            return "interval"
        return None

    def behind(self) -> bool:
        """Whether more waits in Kafka than is soon worked off."""
        return self._source.records_behind() > FAR_BEHIND_RECORDS

    def _caught_up(self, batch: Batch) -> bool:
        """Whether less waits in Kafka than is in hand: then waiting longer gathers little."""
        return self._source.records_behind() <= batch.readings

    async def _write(self, batch: Batch) -> None:
        """Write one batch, in one transaction or one a stream."""
        lanes = zip(self.sinks, batch.split(TWO_LANES_FROM_READINGS), strict=False)
        results = await asyncio.gather(
            *(self._write_parts(sink, parts) for sink, parts in lanes), return_exceptions=True
        )
        for error in filter(None, results):
            raise error

    async def _write_parts(self, sink: Sink, parts: list[Part]) -> None:
        """Write until it is done, however long PostgreSQL is away.

        Raises FencedError, or InDoubtError for a batch that was held very long: it is dropped and
        read again, since its clock checks are out of date.
        """
        began = time.monotonic()
        delay_s = FIRST_RETRY_S
        while not self._interrupted():
            if time.monotonic() - began > STALE_BATCH_S:
                raise InDoubtError("the batch in hand was held too long")
            try:
                outcomes = await self._flush(sink, parts)
            except psycopg.Error as error:
                metrics.RETRIES.labels(error.sqlstate or "none").inc()
                if not isinstance(error, CROSSED) or time.monotonic() - began > LOCKED_OUT_S:
                    self._status.waits("database", _describe(error))
                await self._wait(delay_s * random.uniform(0.5, 1.5))  # noqa: S311
                delay_s = min(delay_s * 2, LAST_RETRY_S)
            else:
                self._status.works("database")
                self._count(parts, outcomes, time.monotonic() - began)
                return
        raise InDoubtError("the batch in hand was dropped")

    async def _flush(self, sink: Sink, parts: list[Part]) -> dict[str, Outcome]:
        """Flush in a thread; one that PostgreSQL leaves hanging is cut off."""
        flushing = asyncio.create_task(asyncio.to_thread(sink.flush, parts))
        _, late = await asyncio.wait([flushing], timeout=FLUSH_DEADLINE_S)
        if late:
            sink.abort()
        return await flushing

    def _count(self, parts: Sequence[Part], outcomes: dict[str, Outcome], seconds: float) -> None:
        metrics.FLUSH_SECONDS.observe(seconds)
        metrics.FLUSH_READINGS.observe(sum(part.readings for part in parts))
        for part in parts:
            self.committed[part.partition] = part.end
            metrics.POSITION.labels(*part.partition).set(part.end)
            if part.first:
                age_s = time.time() - part.first.timestamp / 1000
                metrics.AGE_SECONDS.labels(part.partition.topic).observe(age_s)
        for topic, outcome in outcomes.items():
            counts = {"stored": outcome.stored, "duplicate": outcome.duplicate, **outcome.rejected}
            for name, count in counts.items():
                metrics.READINGS_TOTAL.labels(topic, name).inc(count)

    async def _written(self) -> None:
        """Wait for the batch being written. Raises what kept it from being written."""
        if self._writing:
            try:
                await self._writing
            finally:
                self._writing = None

    async def _acknowledge(self) -> None:
        self._acknowledged_at = time.monotonic()
        if self.committed:
            await self._source.acknowledge(self.committed, ACKNOWLEDGE_EVERY_S)

    # Beginning and ending --------------------------------------------------------------------

    async def _take_over(self) -> None:
        """Drop what is in hand and read the positions of all partitions that are ours now."""
        await self._abandon()
        if self._lost:
            lost = self._lost
            log.error("%s", lost)
            await asyncio.to_thread(self.sinks[0].stop, lost.partition, lost.position, lost.why)
            self._lost = None
        self.doubt = None
        before, self._assigned = self._assigned, self._source.assignment()
        let_go(self._status, before - self._assigned)
        self.committed = await take_over(self._source, self.sinks[0], self._status, self._assigned)
        self._next = dict(self.committed)
        self._status.works("start")

    def _interrupted(self) -> bool:
        """Whether the batches in hand have lost their meaning."""
        return (
            self._stopping.is_set()
            or self.doubt is not None
            or self._source.assignment() != self._assigned
        )

    def _write_failed(self) -> bool:
        """Whether the batch before this one came to grief: then this one has no future."""
        writing = self._writing
        return writing is not None and writing.done() and writing.exception() is not None

    def moving(self) -> bool:
        """Whether a flush may be moving positions right now."""
        return self._writing is not None and not self._writing.done()

    def _note(self, error: Exception) -> None:
        cause = type(error).__name__
        metrics.TAKEOVERS.labels(cause).inc()
        if isinstance(error, FencedError):
            metrics.FENCED.inc()
            log.warning("batch dropped: %s", error)
        elif isinstance(error, psycopg.Error):
            self._status.waits("database", _describe(error))
        elif isinstance(error, KafkaError):
            self._status.waits("kafka", repr(error))
        else:
            log.info("reading the positions again: %s", error)

    async def _abandon(self) -> None:
        """Let a write that is under way come to its end, whatever that is."""
        if self._writing:
            _, late = await asyncio.wait([self._writing], timeout=STOP_GRACE_S)
            if late:
                for sink in self.sinks:
                    sink.abort()
            try:
                await self._written()
            except (FencedError, InDoubtError, psycopg.Error) as error:
                self._note(error)

    async def _wait(self, seconds: float) -> None:
        """Wait, but not longer than until the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _describe(error: psycopg.Error) -> str:
    return f"{error.sqlstate or type(error).__name__}: {one_line(error)}"
