"""Looks after a running worker from beside its loop: at PostgreSQL and at Kafka, each by itself.

It notices positions that an operator changed, even while no reading comes in; it keeps the figures
of the lag, also while PostgreSQL hangs; and it reports whether Kafka answers, whether it lets us
into our group, and which partitions cannot be fetched.
"""

import asyncio

import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from brokers.partitions import name_of
from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.source import Source
from ingest_worker.loop.startup import no_topics
from schemas.text import one_line
from sql.connect import Connection
from sql.named import load

INTERVAL_S = 2.0
ANSWER_WITHIN_S = 10.0
"""A service that takes longer is reported as one that does not answer."""
APART_AFTER_S = 20.0
"""How long joining the group may take until it is reported; a rebalance may take 10 s."""
CLAIMS_EVERY_S = 10.0


class PositionReader:
    """Reads positions over a connection of its own, beside the transactions that move them."""

    def __init__(self, connections: Connections, conninfo: str, group_id: str) -> None:
        self._connections = connections
        self._conninfo = conninfo
        self._group_id = group_id
        self._connection: Connection | None = None

    def read(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str | None]]:
        """By partition: the next offset, and why it is stopped if it is. Raises psycopg.Error."""
        if self._connection is None or self._connection.closed:
            self._connection = self._connections.open(self._conninfo)
        rows = self._connection.execute(
            load("positions")["select_positions"],
            {
                "group_id": self._group_id,
                "topics": [partition.topic for partition in partitions],
                "partitions": [partition.partition for partition in partitions],
            },
        )
        return {TopicPartition(topic, number): (at, why) for topic, number, at, why in rows}

    def close(self) -> None:
        """Close the connection."""
        if self._connection:
            self._connection.close()


async def watch_positions(
    positions: HeldPositions, source: Source, status: Status, reader: PositionReader
) -> None:
    """Look at the positions in PostgreSQL every two seconds, until cancelled."""
    try:
        while True:
            status.turned()
            await check_positions(positions, source, status, reader)
            await asyncio.sleep(INTERVAL_S)
    finally:
        reader.close()


async def watch_kafka(positions: HeldPositions, source: Source, status: Status) -> None:
    """Look at our membership, at the partitions and at the lag every two seconds."""
    failing: set[TopicPartition] = set()
    while True:
        status.turned()
        report_membership(positions, source, status)
        failing = _report_failing(source, status, failing)
        await check_kafka(positions, source, status)
        await asyncio.sleep(INTERVAL_S)


async def watch_claims(positions: HeldPositions, source: Source, status: Status) -> None:
    """Look every ten seconds for another database that reads our topics under our group id."""
    while True:
        await check_claims(positions, source, status)
        await asyncio.sleep(CLAIMS_EVERY_S)


async def check_positions(
    positions: HeldPositions, source: Source, status: Status, reader: PositionReader
) -> None:
    """Raise a doubt when the positions in PostgreSQL are not those that are held.

    A difference proves nothing while a transaction of ours may be moving them, or has moved them
    since they were read.
    """
    before = dict(positions.committed)
    assigned = source.group.assignment()
    reading = asyncio.create_task(asyncio.to_thread(reader.read, list(assigned)))
    while not (await asyncio.wait([reading], timeout=ANSWER_WITHIN_S))[0]:
        status.turned()
        status.waits("positions", "PostgreSQL does not answer")
    try:
        rows = await reading
    except psycopg.Error as error:
        why = f"cannot be read: {one_line(error)}"
        status.waits("positions", why, sqlstate=error.sqlstate)
        return
    status.works("positions")
    changed = {
        partition
        for partition, (next_offset, stopped) in rows.items()
        if (None if stopped else next_offset) != before.get(partition)
    }
    if changed and not positions.moving and positions.committed == before:
        names = ", ".join(map(name_of, sorted(changed)))
        positions.raise_doubt(f"positions were changed: {names}")


def report_membership(positions: HeldPositions, source: Source, status: Status) -> None:
    """Report whether we are a member of the group: one that holds nothing may well be one.

    There may be more workers than partitions; what is to be reported is who was not let in.
    """
    if source.group.apart_s == 0:
        status.works("group")
        if positions.committed or not source.group.assignment():
            status.works("start")
    elif source.group.kept_out:
        status.waits("group", source.group.kept_out)
    elif source.group.apart_s > APART_AFTER_S:
        status.waits("group", f"not a member for more than {APART_AFTER_S:.0f} s")


def _report_failing(
    source: Source, status: Status, before: set[TopicPartition]
) -> set[TopicPartition]:
    """Report which partitions cannot be fetched, and which of `before` can; returns the former."""
    failing = dict(source.failing)
    for partition, failure in failing.items():
        status.waits(name_of(partition), failure.why, **partition._asdict())
    for partition in before.difference(failing):
        status.works(name_of(partition))
    return set(failing)


async def check_kafka(positions: HeldPositions, source: Source, status: Status) -> None:
    """Report whether Kafka answers, and how far the held positions are behind.

    While it does not, no lag is shown: the last one would look as if it were true.
    """
    held = list(positions.committed)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            missing = await source.group.missing_topics() if source.group.unknown_topics() else []
            bounds = await source.group.bounds(held)
    except (KafkaError, TimeoutError) as error:
        for partition in held:
            metrics.LAG.remove(*partition)
        status.waits("kafka", await source.group.reason_of(error))
        return
    if missing:
        status.waits("kafka", no_topics(missing))
    else:
        status.works("kafka")
    for partition, (_, end) in bounds.items():
        if partition in positions.committed:
            metrics.LAG.labels(*partition).set(max(0, end - positions.committed[partition]))
    metrics.LAG_UPDATED.set_to_current_time()


async def check_claims(positions: HeldPositions, source: Source, status: Status) -> None:
    """Doubt held partitions that another database claims; report those that it reads elsewhere."""
    assigned = source.group.assignment()
    try:
        claims = await source.group.claims(source.group.partitions())
    except KafkaError:
        return
    ours, texts = source.group.identity, []
    for partition, claim in sorted(claims.items()):
        if claim.owner != ours and partition in positions.committed:
            positions.raise_doubt(f"another database claims {name_of(partition)}")
        elif claim.owner != ours and partition not in assigned:
            texts.append(f"database {claim.owner} reads {name_of(partition)}")
        elif claim.holder and partition not in assigned:
            texts.append(f"database {claim.holder} holds {name_of(partition)}, which is not read")
    if texts:
        status.degraded("group", f"{'; '.join(texts)}; under the same group id as ours")
    else:
        status.recovered("group")
