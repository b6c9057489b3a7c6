"""Looks after a running worker from beside its loop.

It notices positions that an operator changed, even while no reading comes in; it keeps the figures
of the lag; and it reports whether Kafka answers and which partitions cannot be fetched.
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
from schemas.text import one_line
from sql.connect import Connection
from sql.named import load

INTERVAL_S = 2.0
ANSWER_WITHIN_S = 10.0
"""A service that takes longer is reported as one that does not answer."""


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


async def monitor(
    positions: HeldPositions, source: Source, status: Status, reader: PositionReader
) -> None:
    """Look every two seconds, until cancelled."""
    failing: set[TopicPartition] = set()
    try:
        while True:
            status.turned()
            failing = _report_failing(source, status, failing)
            await check_positions(positions, source, status, reader)
            await _check_kafka(positions, source, status)
            await asyncio.sleep(INTERVAL_S)
    finally:
        reader.close()


async def check_positions(
    positions: HeldPositions, source: Source, status: Status, reader: PositionReader
) -> None:
    """Raise a doubt when the positions in PostgreSQL are not those that are held.

    A difference proves nothing while a transaction of ours may be moving them, or has moved them
    since they were read.
    """
    before = dict(positions.committed)
    assigned = source.assignment()
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


async def _check_kafka(positions: HeldPositions, source: Source, status: Status) -> None:
    """Report whether Kafka answers, and how far the held positions are behind."""
    held = list(positions.committed)
    try:
        if not held:
            await asyncio.wait_for(source.missing_topics(), ANSWER_WITHIN_S)
        bounds = await asyncio.wait_for(source.bounds(held), ANSWER_WITHIN_S)
    except (KafkaError, TimeoutError) as error:
        status.waits("kafka", f"no answer: {type(error).__name__}")
        return
    status.works("kafka")
    for partition, (_, end) in bounds.items():
        if partition in positions.committed:
            metrics.LAG.labels(*partition).set(max(0, end - positions.committed[partition]))
