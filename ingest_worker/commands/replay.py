"""`replay`: read a stretch of Kafka again and add to history what it lacks.

It writes the same way as a worker, but under the group `<group>:replay`: so its books stand beside
the workers' own, and its positions fence off a second replay, not the workers.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from aiokafka import TopicPartition

from brokers.connect import kafka_options
from brokers.partitions import log_bounds, name_of
from ingest_worker.connections import Connections
from ingest_worker.errors import CommandRefusedError
from ingest_worker.records.handout import RecordConsumer, hand_out_lean_records
from ingest_worker.write.batch import MAX_BATCH_BYTES, Batch, Part
from ingest_worker.write.lane import Lane
from ingest_worker.write.ledger import Ledger
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.quarantine import Quarantine
from ingest_worker.write.session_sink import SessionSink
from ingest_worker.write.sink import CROSSED, Sink
from reporting.applications import Application
from reporting.command import say
from reporting.progress import Progress
from schemas.settings import Settings
from schemas.streams import STREAMS
from sql import locks
from sql.connect import connect, conninfo

FETCH_WAIT_MS = 1_000
MAX_READINGS = 10_000
"""Of one flush: few, so that workers do not wait long for the rows that a replay has locked."""

log = logging.getLogger(__name__)


async def replay(settings: Settings, topic: str, since: datetime, until: datetime | None) -> None:
    """Replay what Kafka got at `since` or later, and before `until` or until now.

    Raises CommandRefusedError, KafkaError, or psycopg.Error; running it again is safe.
    """
    if topic not in settings.decoders():
        raise CommandRefusedError(f"--topic must be one of {', '.join(settings.decoders())}")
    group_id = f"{settings.kafka_group_id}:replay"
    where = conninfo(settings, Application.WORKER)
    quarantine = Quarantine(
        group_id,
        max_bytes=settings.rejected_raw_limit_mb * 1_000_000,
        max_raw_bytes=settings.rejected_raw_bytes,
    )
    ledger = Ledger(group_id, quarantine)
    sink: Lane = Sink(Connections(), where, ledger, {name: NewestKnown() for name in STREAMS})
    if topic == settings.kafka_session_topic:
        sink = SessionSink(Connections(), where, ledger)
    options = kafka_options(settings)
    with connect(where) as connection:
        if not locks.try_lock(connection, locks.REPLAY):
            raise CommandRefusedError("another replay is running")
        hand_out_lean_records(settings)
        consumer = RecordConsumer(
            **options, isolation_level="read_committed", auto_offset_reset="none"
        )
        async with consumer:
            stretch = await _find(settings, consumer, topic, since, until)
            ledger.place(
                connection, {partition: start for partition, (start, _) in stretch.items()}
            )
            try:
                await _read(settings, consumer, sink, stretch)
            finally:
                sink.close()


async def _find(
    settings: Settings,
    consumer: RecordConsumer,
    topic: str,
    since: datetime,
    until: datetime | None,
) -> dict[TopicPartition, tuple[int, int]]:
    """First offset, and the one after the last, of each partition that has records of that time."""
    bounds = await log_bounds(settings, [topic])
    if not bounds:
        raise CommandRefusedError(f"there is no topic {topic}")
    firsts = await _offsets_at(consumer, bounds, since)
    pasts = await _offsets_at(consumer, bounds, until) if until else {}
    stretch, cut = {}, []
    for partition, (start, end) in sorted(bounds.items()):
        first, past = firsts.get(partition, end), pasts.get(partition, end)
        if start > 0 and first == start:
            cut.append(partition)
        if first < past:
            stretch[partition] = (first, past)
    if cut:
        raise CommandRefusedError(
            f"Kafka may have deleted some of that time from {_names(cut)}; it holds all of them"
            f" from {await _held_since(consumer, cut)} on"
        )
    return stretch


async def _held_since(consumer: RecordConsumer, partitions: Sequence[TopicPartition]) -> str:
    """The earliest time from which on these partitions hold everything, by Kafka's timestamps."""
    oldest = await consumer.offsets_for_times(dict.fromkeys(partitions, 0))
    newest_ms = max(at.timestamp for at in oldest.values() if at is not None)
    at = datetime.fromtimestamp(newest_ms / 1000, UTC) + timedelta(milliseconds=1)
    return at.isoformat(timespec="milliseconds")


def _names(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(map(name_of, partitions))


async def _offsets_at(
    consumer: RecordConsumer, partitions: Mapping[TopicPartition, object], time: datetime
) -> dict[TopicPartition, int]:
    """The first offset at that time or later, of the partitions that have one."""
    milliseconds = int(time.timestamp() * 1000)
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, milliseconds))
    return {partition: at.offset for partition, at in found.items() if at is not None}


async def _read(
    settings: Settings,
    consumer: RecordConsumer,
    sink: Lane,
    stretch: dict[TopicPartition, tuple[int, int]],
) -> None:
    """Read the stretch to its end, batch by batch."""
    total = sum(past - first for first, past in stretch.values())
    say(f"replaying {total:,} offsets of {len(stretch)} partitions")
    consumer.assign(list(stretch))
    positions = {partition: first for partition, (first, _) in stretch.items()}
    for partition, first in positions.items():
        consumer.seek(partition, first)
    progress = Progress("offsets", total)
    while still := [
        partition for partition, (_, past) in stretch.items() if positions[partition] < past
    ]:
        fetched = await consumer.getmany(*still, timeout_ms=FETCH_WAIT_MS, max_records=MAX_READINGS)
        batch = Batch(
            settings.decoders(),
            max_readings=min(settings.batch_size, MAX_READINGS),
            max_bytes=MAX_BATCH_BYTES,
            max_record_bytes=settings.max_record_bytes,
            limits=lambda: settings.clock_limits(datetime.now(UTC)),
        )
        for partition, records in fetched.items():
            wanted = [record for record in records if record.offset < stretch[partition][1]]
            taken = batch.add(partition, positions[partition], wanted) if not batch.full else 0
            if taken < len(wanted):
                consumer.seek(partition, wanted[taken].offset)
        if batch.parts:
            await _flush(sink, list(batch.parts.values()))
        for partition in still:
            at = batch.parts[partition].end if partition in batch.parts else positions[partition]
            # Offsets without a record may follow the last one, such as markers of transactions.
            past = min(await consumer.position(partition), stretch[partition][1])
            if past > at:
                await asyncio.to_thread(sink.pass_over, partition, at, past)
            progress.advance(max(at, past) - positions[partition])
            positions[partition] = max(at, past)
    progress.close()


async def _flush(sink: Lane, parts: list[Part]) -> None:
    """Flush; when workers have committed in between, try again."""
    while True:
        try:
            await asyncio.to_thread(sink.flush, parts)
        except CROSSED as error:
            fields = {"sqlstate": error.sqlstate}
            log.info("workers came in between, trying again: %s", error, extra=fields)
        else:
            return
