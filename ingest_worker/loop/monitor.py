"""Looks after a running worker from beside its loop.

Notices positions that an operator changed, even while no reading comes in; keeps the lag's figures;
and tells whether Kafka answers.
"""

import asyncio
import logging

import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from brokers.partitions import name_of
from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.loop.source import Source
from ingest_worker.loop.worker import Worker
from schemas.text import one_line
from sql.connect import Connection
from sql.named import load

INTERVAL_S = 2.0
PATIENCE_S = 10.0

log = logging.getLogger(__name__)


async def watch(
    worker: Worker,
    source: Source,
    status: Status,
    connections: Connections,
    conninfo: str,
    group_id: str,
) -> None:
    """Look every two seconds, until cancelled."""
    positions = _Positions(connections, conninfo, group_id)
    ailing: set[TopicPartition] = set()
    try:
        while True:
            status.turned()
            ailing = _look_at_ailing(source, status, ailing)
            await _look_at_positions(worker, source, status, positions)
            await _look_at_kafka(worker, source, status)
            await asyncio.sleep(INTERVAL_S)
    finally:
        positions.close()


async def _look_at_positions(
    worker: Worker, source: Source, status: Status, positions: "_Positions"
) -> None:
    before = dict(worker.committed)
    assigned = source.assignment()
    reading = asyncio.create_task(asyncio.to_thread(positions.read, list(assigned)))
    while not (await asyncio.wait([reading], timeout=PATIENCE_S))[0]:
        status.turned()
        status.waits("positions", "PostgreSQL does not answer")
    try:
        rows = await reading
    except psycopg.Error as error:
        status.waits("positions", f"cannot be read: {one_line(error)}")
        return
    status.works("positions")
    changed = {
        partition
        for partition, (next_offset, stopped) in rows.items()
        if (None if stopped else next_offset) != before.get(partition)
    }
    if changed and not worker.moving() and worker.committed == before:
        worker.doubt = "positions were changed: " + ", ".join(map(name_of, sorted(changed)))


def _look_at_ailing(
    source: Source, status: Status, before: set[TopicPartition]
) -> set[TopicPartition]:
    """Say which partitions Kafka fails to hand out; returns them."""
    ailing = dict(source.ailing)
    for partition, ailment in ailing.items():
        status.waits(name_of(partition), ailment.why)
    for partition in before.difference(ailing):
        status.works(name_of(partition))
    return set(ailing)


async def _look_at_kafka(worker: Worker, source: Source, status: Status) -> None:
    held = list(worker.committed)
    try:
        if not held:
            await asyncio.wait_for(source.missing_topics(), PATIENCE_S)
        bounds = await asyncio.wait_for(source.bounds(held), PATIENCE_S)
    except (KafkaError, TimeoutError) as error:
        status.waits("kafka", f"no answer: {type(error).__name__}")
        return
    status.works("kafka")
    for partition, (_, end) in bounds.items():
        if partition in worker.committed:
            metrics.LAG.labels(*partition).set(max(0, end - worker.committed[partition]))


class _Positions:
    """Reads the positions of partitions, over a connection of its own."""

    def __init__(self, connections: Connections, conninfo: str, group_id: str) -> None:
        self._connections = connections
        self._conninfo = conninfo
        self._group_id = group_id
        self._connection: Connection | None = None

    def read(
        self, partitions: list[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str | None]]:
        """Next offset, and why the partition is stopped if it is."""
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
        if self._connection:
            self._connection.close()
