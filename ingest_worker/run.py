"""One worker process from start to end: what it starts, in which order, and what ends it."""

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Iterator
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from brokers.connect import kafka_options
from ingest_worker.connections import Connections
from ingest_worker.health import Status, serve
from ingest_worker.housekeeping.rounds import keep_house
from ingest_worker.loop.monitor import watch
from ingest_worker.loop.source import Source
from ingest_worker.loop.startup import wait_for_database, wait_for_kafka
from ingest_worker.loop.worker import Worker
from ingest_worker.write.ledger import APPLICATION_NAME
from schemas.settings import Settings
from sql.connect import conninfo

STOP_WITHIN_S = 8.0
"""How long the batch in hand may take at the end; then PostgreSQL is cut off."""
LET_GO_WITHIN_S = 4.0
"""How long the rest may take after that, if Kafka does not answer either."""
LEAVE_GROUP_WITHIN_S = 8.0
CYCLES_AFTER_OBJECTS = 300_000
"""Python looks for cycles whenever so many objects have come; a batch is as many, and has none."""

log = logging.getLogger(__name__)


class _LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Hands out fetched records as they were parsed: offset, timestamp and value are all we read.

    aiokafka would wrap each into a ConsumerRecord of eleven fields, which costs more than decoding
    its reading. This reaches into private parts of aiokafka: hence the tight bound on its version.
    """

    def __iter__(self) -> Iterator[Any]:
        records: Iterator[Any] = self._records_iterator
        return records

    def _consumer_record(self, _: TopicPartition, record: Any) -> Any:
        return record


async def run(settings: Settings) -> None:
    """Run one replica until SIGTERM or SIGINT. Its process belongs to it."""
    fetcher.PartitionRecords = _LeanRecords
    gc.freeze()
    gc.set_threshold(CYCLES_AFTER_OBJECTS)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    status = Status()
    port = serve(status, settings.metrics_port)
    log.info("metrics and health on port %d", port)
    topics = list(settings.streams)
    source = Source(
        kafka_options(settings), settings.kafka_group_id, topics, settings.flush_interval_ms
    )
    connections = Connections()
    working = asyncio.create_task(_work(settings, source, status, connections, stopping))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([working, stop], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([working], timeout=STOP_WITHIN_S)
    finally:
        connections.end()
        await asyncio.wait([working], timeout=LET_GO_WITHIN_S)
        working.cancel()
        stop.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(source.stop(), LEAVE_GROUP_WITHIN_S)
        with contextlib.suppress(asyncio.CancelledError):
            await working
        log.info("stopped")


async def _work(
    settings: Settings,
    source: Source,
    status: Status,
    connections: Connections,
    stopping: asyncio.Event,
) -> None:
    await wait_for_database(settings, status, connections, stopping)
    await wait_for_kafka(source, status, stopping)
    if stopping.is_set():
        return
    worker = Worker(settings, source, status, connections, stopping)
    beside = [
        asyncio.create_task(keep_house(settings, connections, worker.behind)),
        asyncio.create_task(
            watch(
                worker,
                source,
                status,
                connections,
                conninfo(settings, APPLICATION_NAME),
                settings.kafka_group_id,
            )
        ),
    ]
    try:
        await worker.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
