"""One worker process from start to end: what it starts, in which order, and what ends it."""

import asyncio
import contextlib
import gc
import logging
import signal

from brokers.connect import kafka_options
from brokers.topics import watch_topics
from ingest_worker import metrics
from ingest_worker.connections import Connections
from ingest_worker.health import Status, served
from ingest_worker.housekeeping.rounds import keep_house
from ingest_worker.loop.batching import batch_rules
from ingest_worker.loop.consumer import new_consumer
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.membership import Membership
from ingest_worker.loop.monitor import (
    PositionReader,
    watch_claims,
    watch_kafka,
    watch_positions,
)
from ingest_worker.loop.side_tasks import SideTasks
from ingest_worker.loop.source import Source
from ingest_worker.loop.startup import wait_for_database, wait_for_kafka
from ingest_worker.loop.worker import Worker
from ingest_worker.records.handout import hand_out_lean_records
from ingest_worker.write.lane import Lane
from ingest_worker.write.ledger import Ledger
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.quarantine import Quarantine
from ingest_worker.write.session_sink import SessionSink
from ingest_worker.write.sink import Sink
from reporting.applications import Application
from schemas.pem_files import client_certificates
from schemas.session_events import SESSION_EVENTS
from schemas.settings import Settings
from schemas.streams import STREAMS
from sql.connect import conninfo

FINISH_WITHIN_S = 8.0
"""How long the batch in hand may take at the end; then PostgreSQL is cut off."""
END_WITHIN_S = 4.0
"""How long the loop may take after that, if Kafka does not answer either."""
LEAVE_GROUP_WITHIN_S = 8.0
COLLECT_CYCLES_AFTER_OBJECTS = 300_000
"""Python looks for cycles whenever so many objects have come; a batch is as many, and has none."""

log = logging.getLogger(__name__)


async def run(settings: Settings) -> None:
    """Run one replica until SIGTERM or SIGINT. It sets up the whole process for itself.

    Raises SideTaskError when a task beside the loop has died.
    """
    hand_out_lean_records(settings)
    gc.freeze()
    gc.set_threshold(COLLECT_CYCLES_AFTER_OBJECTS)
    stopping = asyncio.Event()
    metrics.begin_at_zero(settings.topics)
    metrics.show_certificates(client_certificates(settings))
    status = Status()

    def ask_to_stop() -> None:
        status.stops()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ask_to_stop)
    token = settings.metrics_token
    with served(status, settings.metrics_host, settings.metrics_port, token) as port:
        log.info("metrics and health on port %d", port, extra={"port": port})
        await _run(settings, status, stopping)


async def _run(settings: Settings, status: Status, stopping: asyncio.Event) -> None:
    """Work until the end, then let go of everything in time. Raises SideTaskError."""
    options = kafka_options(settings)
    group = Membership(
        lambda: new_consumer(options, settings.kafka_group_id, settings.flush_interval_ms),
        settings.topics,
    )
    connections = Connections()
    side_tasks = SideTasks(stopping)
    working = asyncio.create_task(_work(settings, group, status, connections, side_tasks, stopping))
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([working, stop], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([working], timeout=FINISH_WITHIN_S)
    finally:
        connections.end()
        await asyncio.wait([working], timeout=END_WITHIN_S)
        working.cancel()
        stop.cancel()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(group.stop(), LEAVE_GROUP_WITHIN_S)
        with contextlib.suppress(asyncio.CancelledError):
            await working
        log.info("stopped")
    side_tasks.raise_failure()


async def _work(
    settings: Settings,
    group: Membership,
    status: Status,
    connections: Connections,
    side_tasks: SideTasks,
    stopping: asyncio.Event,
) -> None:
    """Wait for what the worker needs, then run its loop and the tasks beside it."""
    group.identity = await wait_for_database(settings, status, connections, stopping)
    await wait_for_kafka(group, status, stopping)
    if stopping.is_set():
        return
    where = conninfo(settings, Application.WORKER)
    source = Source(group)
    positions = HeldPositions()
    sinks = _sinks(settings, connections, where)
    worker = Worker(source, sinks, batch_rules(settings), positions, status, stopping)
    reader = PositionReader(connections, where, settings.kafka_group_id)
    side_tasks.start("housekeeping", keep_house(settings, connections, status, worker.behind))
    side_tasks.start("positions", watch_positions(positions, source, status, reader))
    side_tasks.start("kafka", watch_kafka(positions, source, status))
    side_tasks.start("claims", watch_claims(positions, source, status))
    side_tasks.start(
        "topics", watch_topics(settings, lambda topic, why: status.judged(f"topic {topic}", why))
    )
    try:
        await worker.run()
    finally:
        await side_tasks.cancel()


def _sinks(settings: Settings, connections: Connections, where: str) -> dict[str, Lane]:
    """A sink for every stream, which share what is known of the devices; one for session events."""
    newest_known = {name: NewestKnown() for name in STREAMS}
    quarantine = Quarantine(
        settings.kafka_group_id,
        max_bytes=settings.rejected_raw_limit_mb * 1_000_000,
        max_raw_bytes=settings.rejected_raw_bytes,
    )
    ledger = Ledger(settings.kafka_group_id, quarantine)
    sinks: dict[str, Lane] = {
        name: Sink(connections, where, ledger, newest_known) for name in STREAMS
    }
    if settings.kafka_session_topic:
        sinks[SESSION_EVENTS.name] = SessionSink(connections, where, ledger)
    return sinks
