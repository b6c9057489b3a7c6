"""Where to read on after a start, a rebalance or any other disturbance: PostgreSQL decides.

When a log does not hold the offset of its position, or another database claims the partition, it is
stopped until an operator sets a position; the other partitions are read on.
"""

import asyncio
import logging

from aiokafka import TopicPartition

from brokers.partitions import name_of
from ingest_worker import metrics
from ingest_worker.health import Status
from ingest_worker.loop.claims import Claim, why_stopped
from ingest_worker.loop.source import Source
from ingest_worker.write.lane import Lane
from ingest_worker.write.ledger import Position

SECOND_LOOK_AFTER_S = 2.0

log = logging.getLogger(__name__)


async def take_over(
    source: Source, sink: Lane, status: Status, assigned: frozenset[TopicPartition]
) -> dict[TopicPartition, int]:
    """Read the positions of these partitions and have the source read on from there.

    Returns the positions of those that can be read. Raises KafkaError or psycopg.Error while
    Kafka or PostgreSQL does not answer.
    """
    bounds = await source.group.bounds(list(assigned))
    claims = await source.group.claims(list(assigned))
    starts = {partition: start for partition, (start, _) in bounds.items()}
    positions = await asyncio.to_thread(sink.take, starts)
    status.works("database")
    await _stop_claimed(source, sink, positions, claims)
    await _stop_lost(source, sink, positions, bounds)
    held, last_read = {}, {}
    for partition, position in positions.items():
        _say_state(status, partition, position)
        if position.stopped:
            continue
        start, end = bounds[partition]
        held[partition] = position.next_offset
        if position.last_offset is not None and start <= position.last_offset < end:
            last_read[partition] = (position.last_offset, position.last_record_ms or 0)
    source.hold(held, last_read)
    offsets = {name_of(partition): at for partition, at in held.items()}
    names = ", ".join(f"{name}@{at}" for name, at in offsets.items())
    log.info("reading %s", names or "nothing yet", extra={"offsets": offsets})
    return held


def forget_partitions(status: Status, partitions: frozenset[TopicPartition]) -> None:
    """Stop reporting on partitions that other members of the group hold now."""
    for partition in partitions:
        status.works(name_of(partition))
        for gauge in (metrics.HELD, metrics.LAG, metrics.POSITION):
            gauge.remove(*partition)


async def _stop_claimed(
    source: Source,
    sink: Lane,
    positions: dict[TopicPartition, Position],
    claims: dict[TopicPartition, Claim],
) -> None:
    """Stop the partitions that another database claims, unless an operator took them over from it.

    Then our own claim comes first, before anything is read: from there on the other one's is new.
    """
    others = {}
    for partition, position in list(positions.items()):
        claim, overridden = claims.get(partition), position.claim_overridden
        if claim and claim.owner not in (source.group.identity, overridden):
            others[partition] = claim
            if not position.stopped:
                why = why_stopped(claim.owner)
                log.error("%s at %d: %s", name_of(partition), position.next_offset, why)
                await asyncio.to_thread(
                    sink.stop, partition, position.next_offset, why, claim.owner
                )
                positions[partition] = position._replace(stopped=why)
        elif overridden and not position.stopped:
            await source.group.claim({partition: position.next_offset})
            await asyncio.to_thread(sink.forget_override, partition)
    await source.group.respect(others)


async def _stop_lost(
    source: Source,
    sink: Lane,
    positions: dict[TopicPartition, Position],
    bounds: dict[TopicPartition, tuple[int, int]],
) -> None:
    """Stop the partitions whose positions lie outside of their logs, also at a second look.

    A broker that has just become the leader may learn the log's end a little late.
    """
    outside = [
        partition
        for partition, position in positions.items()
        if not position.stopped and _outside(position.next_offset, *bounds[partition])
    ]
    if not outside:
        return
    await asyncio.sleep(SECOND_LOOK_AFTER_S)
    bounds.update(await source.group.bounds(outside))
    for partition in outside:
        at = positions[partition].next_offset
        why = _outside(at, *bounds[partition])
        if why:
            fields = {"offset": at, "reason": why, **partition._asdict()}
            log.error("%s at %d: %s", name_of(partition), at, why, extra=fields)
            await asyncio.to_thread(sink.stop, partition, at, why)
            positions[partition] = positions[partition]._replace(stopped=why)


def _outside(position: int, start: int, end: int) -> str | None:
    """Why the log cannot be read from the position on; None when it can."""
    if position > end:
        return f"the log ends at {end}: the topic was created anew"
    if position < start:
        return f"the log starts at {start}: retention overtook us"
    return None


def _say_state(status: Status, partition: TopicPartition, position: Position) -> None:
    name = name_of(partition)
    metrics.HELD.labels(*partition).set(0 if position.stopped else 1)
    if position.stopped:
        why = f"stopped at {position.next_offset}: {position.stopped}"
        status.waits(name, why, offset=position.next_offset, **partition._asdict())
    else:
        status.works(name)
