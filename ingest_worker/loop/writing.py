"""Writing batches, one at a time, however long PostgreSQL is away.

The readings of a small batch go in one transaction. Those of a large one go in one a stream, side
by side, each through the sink of its stream: there is a sink for every stream, so none can be left
out. Session events always have a transaction of their own.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import psycopg
from aiokafka import TopicPartition

from brokers.partitions import name_of
from ingest_worker import metrics
from ingest_worker.errors import InDoubtError
from ingest_worker.health import Status
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.pause import pause
from ingest_worker.write.batch import Batch, Part
from ingest_worker.write.cutting import cut_before
from ingest_worker.write.lane import TRANSACTION_TIMEOUT_S, Lane, Outcome
from ingest_worker.write.sink import CROSSED
from ingest_worker.write.spans import flush_span, note_outcome, note_outcomes, transaction_span
from schemas.session_events import SESSION_EVENTS
from schemas.text import one_line
from sql.errors import DaysUnavailableError, SessionsLockedError

SIDE_BY_SIDE_FROM_READINGS = 5_000
"""Smaller batches go in one transaction; larger ones in one a stream."""
FIRST_RETRY_S, LAST_RETRY_S = 0.2, 10.0
MAX_BATCH_AGE_S = 600.0
"""Much less than housekeeping waits with retiring a day, so that no batch brings one back."""
FLUSH_DEADLINE_S = TRANSACTION_TIMEOUT_S + 30
LOCKED_OUT_S = 30.0
"""No transaction of ours lasts so long: whoever holds a lock for longer is somebody else."""


class BatchWriter:
    """Writes the batch it is given while the next one is collected."""

    def __init__(
        self,
        sinks: Mapping[str, Lane],
        positions: HeldPositions,
        status: Status,
        stopping: asyncio.Event,
    ) -> None:
        """`sinks` holds one for every kind of part, by name; the first takes small batches."""
        self._sinks = sinks
        self._positions = positions
        self._status = status
        self._stopping = stopping
        self._writing: asyncio.Task[None] | None = None
        self._held_back: dict[TopicPartition, int] = {}
        self._reported: set[TopicPartition] = set()

    @property
    def busy(self) -> bool:
        """Whether a batch is being written."""
        return self._writing is not None and not self._writing.done()

    @property
    def failed(self) -> bool:
        """Whether the batch, or a rest of it, could not be written; `finish` tells."""
        writing = self._writing
        if writing is None or not writing.done():
            return False
        return writing.exception() is not None or bool(self._held_back)

    def start(self, batch: Batch, interrupted: Callable[[], bool]) -> None:
        """Begin to write a batch; it is given up as soon as `interrupted` says so.

        The batch before it must have been finished.
        """
        assert self._writing is None, "two batches would be written at once"
        lanes = self._lanes(batch)
        self._writing = asyncio.create_task(self._write(batch, lanes, interrupted))

    async def finish(self) -> dict[TopicPartition, int]:
        """Wait until the batch, if there is one, is written.

        Returns where the rest begins of each partition that was not written to its end: readings of
        a day that has no partition now, and those behind them. Raises FencedError, or InDoubtError
        for a batch that was given up.
        """
        held_back: dict[TopicPartition, int] = {}
        if self._writing:
            try:
                await self._writing
            finally:
                self._writing = None
                held_back, self._held_back = self._held_back, {}
        return held_back

    async def abandon(self, grace_s: float) -> None:
        """Wait for the batch for so long, then cut its connections off. Raises as `finish` does."""
        if self._writing:
            _, late = await asyncio.wait([self._writing], timeout=grace_s)
            if late:
                for sink in self._sinks.values():
                    sink.abort()
            await self.finish()

    def close(self) -> None:
        """Close the sinks' connections."""
        for sink in self._sinks.values():
            sink.close()

    def _lanes(self, batch: Batch) -> list[tuple[Lane, list[Part]]]:
        """The batch's transactions, and the sink of each; together they hold every part."""
        by_name = batch.by_stream()
        if batch.readings < SIDE_BY_SIDE_FROM_READINGS:
            events = by_name.pop(SESSION_EVENTS.name, [])
            readings = list(chain.from_iterable(by_name.values()))
            by_name = {next(iter(self._sinks)): readings, SESSION_EVENTS.name: events}
        lanes = [(self._sinks[name], parts) for name, parts in by_name.items() if parts]
        planned = sorted(part.partition for _, parts in lanes for part in parts)
        assert planned == sorted(batch.parts), "the transactions are not exactly the batch's parts"
        return lanes

    async def _write(
        self,
        batch: Batch,
        lanes: Sequence[tuple[Lane, list[Part]]],
        interrupted: Callable[[], bool],
    ) -> None:
        with flush_span(batch) as flush:
            with self._positions.being_moved():
                results = await asyncio.gather(
                    *(self._write_parts(sink, parts, interrupted) for sink, parts in lanes),
                    return_exceptions=True,
                )
            errors = [error for error in results if error]
            note_outcome(flush, errors, held_back=len(self._held_back))
            for error in errors:
                raise error

    async def _write_parts(
        self, sink: Lane, parts: Sequence[Part], interrupted: Callable[[], bool]
    ) -> None:
        """Try one transaction again until it is committed.

        Raises FencedError, or InDoubtError for parts that were interrupted or held very long:
        they are dropped and read again, since their clock checks are out of date.
        """
        began = time.monotonic()
        delay_s = FIRST_RETRY_S
        while parts and not interrupted():
            if time.monotonic() - began > MAX_BATCH_AGE_S:
                raise InDoubtError("the batch in hand was held too long")
            try:
                outcomes = await _flush(sink, parts)
            except DaysUnavailableError as error:
                parts = self._hold_back(parts, error)
            except SessionsLockedError as error:
                self._hold_all_back(parts, error)
                return
            except psycopg.Error as error:
                metrics.RETRIES.labels(error.sqlstate or "none").inc()
                if not isinstance(error, CROSSED) or time.monotonic() - began > LOCKED_OUT_S:
                    self._status.waits("database", describe(error), sqlstate=error.sqlstate)
                await pause(delay_s * random.uniform(0.5, 1.5), self._stopping)  # noqa: S311
                delay_s = min(delay_s * 2, LAST_RETRY_S)
            else:
                self._status.works("database")
                self._note_written(parts, outcomes, time.monotonic() - began)
                return
        if parts:
            raise InDoubtError("the batch in hand was dropped")

    def _hold_back(self, parts: Sequence[Part], error: DaysUnavailableError) -> list[Part]:
        """What can be written of the parts; the rest of each is read again later."""
        self._status.works("database")
        kept = []
        for part in parts:
            days = error.days.get(part.stream.name, {})
            before = cut_before(part, days)
            if before is not part:
                why = days[min(part.days() & days.keys())]
                self._hold(part.partition, before.end if before else part.start, why)
            if before:
                kept.append(before)
        return kept

    def _hold_all_back(self, parts: Sequence[Part], error: SessionsLockedError) -> None:
        """Read these again later: readings do not wait for whoever has locked a session."""
        metrics.RETRIES.labels(error.sqlstate or "none").inc()
        self._status.works("database")
        for part in parts:
            self._hold(part.partition, part.start, one_line(error))

    def _hold(self, partition: TopicPartition, position: int, why: str) -> None:
        self._held_back[partition] = position
        self._reported.add(partition)
        self._status.waits(name_of(partition), f"waits at {position}: {why}")

    def _note_written(
        self, parts: Sequence[Part], outcomes: Mapping[str, Outcome], seconds: float
    ) -> None:
        metrics.FLUSH_SECONDS.observe(seconds)
        metrics.FLUSH_READINGS.observe(sum(part.readings for part in parts))
        for part in parts:
            self._positions.advance(part.partition, part.end)
            if part.partition in self._reported.difference(self._held_back):
                self._reported.remove(part.partition)
                self._status.works(name_of(part.partition))
            if part.first:
                age_s = time.time() - part.first.timestamp / 1000
                metrics.AGE_SECONDS.labels(part.partition.topic).observe(age_s)
        for topic, outcome in outcomes.items():
            counts = {"stored": outcome.stored, "duplicate": outcome.duplicate, **outcome.rejected}
            for name, count in counts.items():
                metrics.READINGS_TOTAL.labels(topic, name).inc(count)
            metrics.REPAIRED.labels(topic).inc(outcome.repaired)


async def _flush(sink: Lane, parts: Sequence[Part]) -> dict[str, Outcome]:
    """Flush in a thread; one that PostgreSQL leaves hanging is cut off."""
    with transaction_span(parts) as transaction:
        flushing = asyncio.create_task(asyncio.to_thread(sink.flush, parts))
        _, late = await asyncio.wait([flushing], timeout=FLUSH_DEADLINE_S)
        if late:
            sink.abort()
        outcomes = await flushing
        note_outcomes(transaction, outcomes)
    return outcomes


def describe(error: psycopg.Error) -> str:
    """An error of PostgreSQL on one line, with its SQLSTATE."""
    return f"{error.sqlstate or type(error).__name__}: {one_line(error)}"
