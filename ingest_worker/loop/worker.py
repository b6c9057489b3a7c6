"""The loop: Kafka to PostgreSQL.

While one batch is written (in threads), the next is fetched and decoded. Whatever makes our view
of the positions doubtful (a rebalance, another owner, a failed fetch, an operator) has one answer:
the batches in hand are dropped, the positions read again, and reading starts from there.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence

import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from ingest_worker import metrics
from ingest_worker.errors import FencedError, InDoubtError, KeptOutError, LostPositionError
from ingest_worker.health import Status
from ingest_worker.loop.batching import BatchRules
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.pause import pause
from ingest_worker.loop.source import Source
from ingest_worker.loop.takeover import forget_partitions, take_over
from ingest_worker.loop.writing import BatchWriter, describe
from ingest_worker.write.batch import Batch, Record, is_large
from ingest_worker.write.lane import Lane

IDLE_FETCH_S = 0.5
"""How long a fetch waits for the first records of a batch."""
NEXT_FETCH_S = 0.05
"""How long a fetch waits for more records of a batch that is not due yet."""
DECODE_AT_ONCE_S = 0.05
"""Without a pause: whatever is in the records, heartbeats must go out."""
ACKNOWLEDGE_EVERY_S = 5.0
ASK_AGAIN_AFTER_S = 5.0
"""How long a worker that Kafka keeps out of its group waits until it asks again."""
FAR_BEHIND_RECORDS = 10_000
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
STOP_GRACE_S = 15.0
"""How long a batch that is being written may take before its connections are cut off."""

log = logging.getLogger(__name__)


class Worker:
    """One replica: a member of the consumer group that writes what it reads."""

    def __init__(
        self,
        source: Source,
        sinks: Mapping[str, Lane],
        rules: BatchRules,
        positions: HeldPositions,
        status: Status,
        stopping: asyncio.Event,
    ) -> None:
        """`sinks` holds one for every kind of part, by name; the first also keeps the positions."""
        self._source = source
        self._sink = next(iter(sinks.values()))
        self._writer = BatchWriter(sinks, positions, status, stopping)
        self._rules = rules
        self._positions = positions
        self._status = status
        self._stopping = stopping
        self._assigned: frozenset[TopicPartition] = frozenset()
        self._next: dict[TopicPartition, int] = {}
        """By held partition, the offset after the last record that was put into a batch."""
        self._lost: LostPositionError | None = None
        self._acknowledged: dict[TopicPartition, int] = {}
        self._acknowledged_at = 0.0
        self._acknowledging: asyncio.Task[None] | None = None

    # The story of a batch --------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stopping` is set. Any disturbance leads back to reading the positions."""
        self._source.group.join()
        delay_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            try:
                await self._take_over()
                delay_s = FIRST_RETRY_S
                await self._read()
                metrics.TAKEOVERS.labels("doubt" if self._positions.doubt else "rebalance").inc()
            except LostPositionError as lost:
                metrics.TAKEOVERS.labels(type(lost).__name__).inc()
                self._lost = lost
            except KeptOutError as error:
                await self._note(error)
                await pause(ASK_AGAIN_AFTER_S, self._stopping)
            except (FencedError, InDoubtError, KafkaError, psycopg.Error) as error:
                await self._note(error)
                await pause(delay_s, self._stopping)
                delay_s = min(delay_s * 2, LAST_RETRY_S)
        await self._end()

    async def _read(self) -> None:
        """Fetch, decode, write, acknowledge; until interrupted.

        Raises what keeps a batch from being fetched or written.
        """
        while not self._interrupted():
            batch = await self._collect()
            for partition, position in (await self._writer.finish()).items():
                batch.leave_out(partition)
                self._next[partition] = position
                self._source.hold_back(partition, position)
            if batch.parts and not self._interrupted():
                self._writer.start(batch, self._interrupted)

    async def _collect(self) -> Batch:
        """Fetch and decode one batch; meanwhile the one before it is being written."""
        batch = self._rules.new_batch()
        began = 0.0
        while not self._interrupted() and not self._writer.failed:
            wait_s = NEXT_FETCH_S if batch.parts else IDLE_FETCH_S
            for partition, records in await self._source.fetch(wait_s):
                began = began or time.monotonic()
                turned_away = batch.turns_away(partition)
                taken = 0 if turned_away else await self._add(batch, partition, records)
                if taken:
                    self._next[partition] = records[taken - 1].offset + 1
                others_go_on = batch.turns_away(partition) and not batch.full
                self._source.put_back(partition, records[taken:], aside=others_go_on)
            if not batch.parts and not self._writer.busy:
                await self._pass_over_gaps()
            self._acknowledge_now_and_then()
            cause = self._rules.flush_cause(
                batch,
                age_s=time.monotonic() - began,
                writing=self._writer.busy,
                records_behind=self._source.records_behind,
            )
            if cause:
                metrics.FLUSHES.labels(cause).inc()
                batch.cause = cause
                return batch
            await asyncio.sleep(0)
        return batch

    async def _add(self, batch: Batch, partition: TopicPartition, records: Sequence[Record]) -> int:
        """Decode records for about as long as the loop can be held up; returns how many.

        A large one, which may take longer, is decoded beside the loop.
        """
        position = self._next[partition]
        if is_large(records[0]):
            return await asyncio.to_thread(batch.add, partition, position, records[:1])
        taken = batch.add(partition, position, records, DECODE_AT_ONCE_S)
        await asyncio.sleep(0)
        return taken

    async def _pass_over_gaps(self) -> None:
        """Move to the ends of logs that end without records, which would look like lag."""
        for partition, gap in (await self._source.trailing()).items():
            if self._next.get(partition) == gap.position:
                with self._positions.being_moved():
                    await asyncio.to_thread(
                        self._sink.pass_over, partition, gap.position, gap.first
                    )
                    self._positions.advance(partition, gap.first)
                self._source.pass_over(partition, gap)
                self._next[partition] = gap.first

    def _acknowledge_now_and_then(self) -> None:
        """Acknowledge beside the loop; also what was written last, when nothing more comes in."""
        if time.monotonic() - self._acknowledged_at > ACKNOWLEDGE_EVERY_S:
            self._acknowledged_at = time.monotonic()
            self._acknowledging = asyncio.create_task(self._acknowledge())

    async def _acknowledge(self) -> None:
        """Tell Kafka's group how far we are: a courtesy, whose failure stops nothing."""
        positions = dict(self._positions.committed)
        try:
            if positions not in ({}, self._acknowledged) and await self._source.group.acknowledge(
                positions, ACKNOWLEDGE_EVERY_S
            ):
                self._acknowledged = positions
        except Exception:
            metrics.SIDE_TASK_FAILURES.labels("acknowledge").inc()
            log.exception("acknowledging to the group failed")

    def behind(self) -> bool:
        """Whether more waits in Kafka than is soon worked off."""
        return self._source.records_behind() > FAR_BEHIND_RECORDS

    # Beginning, interruptions and the end ----------------------------------------------------

    async def _take_over(self) -> None:
        """Drop what is in hand and read the positions of all partitions that are ours now."""
        await self._abandon()
        if self._lost:
            lost = self._lost
            fields = {"offset": lost.position, "reason": lost.why, **lost.partition._asdict()}
            log.error("%s", lost, extra=fields)
            await asyncio.to_thread(self._sink.stop, lost.partition, lost.position, lost.why)
            self._lost = None
        self._positions.forget_doubt()
        await self._source.group.rejoin()
        before, self._assigned = self._assigned, self._source.group.assignment()
        forget_partitions(self._status, before - self._assigned)
        held = await take_over(self._source, self._sink, self._status, self._assigned)
        self._positions.hold(held)
        self._next = dict(held)
        self._acknowledged, self._acknowledged_at = {}, 0.0  # our database's claim comes at once
        if self._source.group.apart_s == 0:
            self._status.works("start")

    def _interrupted(self) -> bool:
        """Whether the batches in hand have lost their meaning."""
        return (
            self._stopping.is_set()
            or self._positions.doubt is not None
            or self._source.group.assignment() != self._assigned
        )

    async def _note(self, error: Exception) -> None:
        """Count and say why the positions are read again."""
        metrics.TAKEOVERS.labels(type(error).__name__).inc()
        if isinstance(error, FencedError):
            metrics.FENCED.inc()
            log.warning("batch dropped: %s", error, extra=error.fields)
        elif isinstance(error, psycopg.Error):
            self._status.waits("database", describe(error), sqlstate=error.sqlstate)
        elif isinstance(error, KafkaError):
            self._status.waits("kafka", await self._source.group.reason_of(error))
        else:
            log.info("reading the positions again: %s", error)

    async def _abandon(self) -> None:
        """Let a write that is under way come to its end, whatever that is."""
        try:
            await self._writer.abandon(STOP_GRACE_S)
        except (FencedError, InDoubtError, psycopg.Error) as error:
            await self._note(error)

    async def _end(self) -> None:
        """Finish the batch that is being written, and acknowledge it."""
        await self._abandon()
        if self._acknowledging:
            self._acknowledging.cancel()
        await self._acknowledge()
        self._writer.close()
