"""One worker process from start to end: what it starts, in which order, and what ends it."""

import asyncio
import contextlib
import logging
import signal
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from ingest_worker.health import Status, serve
from ingest_worker.housekeeping import keep_house
from ingest_worker.ledger import APPLICATION_NAME
from ingest_worker.source import Source
from ingest_worker.startup import wait_for_database, wait_for_kafka
from ingest_worker.watch import watch
from ingest_worker.worker import Worker
from schemas.settings import Settings

LEAVE_GROUP_WITHIN_S = 10.0

log = logging.getLogger(__name__)


class _LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Hands out fetched records as they were parsed: offset, timestamp and value are all we read.

    aiokafka would wrap each into a ConsumerRecord of eleven fields, which costs more than decoding
    its reading. This reaches into private parts of aiokafka: hence the tight bound on its version.
    """

    def _consumer_record(self, _: TopicPartition, record: Any) -> Any:
        return record


async def run(settings: Settings) -> None:
    """Run one replica until SIGTERM or SIGINT. Its process belongs to it."""
    fetcher.PartitionRecords = _LeanRecords
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    status = Status()
    port = serve(status, settings.metrics_port)
    log.info("metrics and health on port %d", port)
    topics = [settings.kafka_meter_topic, settings.kafka_vehicle_topic]
    source = Source(settings.kafka_options(), settings.kafka_group_id, topics)
    worker = Worker(settings, source, status, stopping)
    beside: list[asyncio.Task[None]] = []
    try:
        await wait_for_database(settings, status, stopping)
        await wait_for_kafka(source, status, stopping)
        if not stopping.is_set():
            conninfo = settings.conninfo(APPLICATION_NAME)
            beside = [
                asyncio.create_task(keep_house(settings)),
                asyncio.create_task(
                    watch(worker, source, status, conninfo, settings.kafka_group_id)
                ),
            ]
            await worker.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(source.stop(), LEAVE_GROUP_WITHIN_S)
        log.info("stopped")
