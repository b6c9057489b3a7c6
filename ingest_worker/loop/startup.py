"""What a worker needs before it can begin: it waits for each, and reports what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
from aiokafka.errors import KafkaError

from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.loop.pause import pause
from ingest_worker.loop.source import Source
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import conninfo
from sql.errors import MigrationError, UnsuitableDatabaseError
from sql.migrate import NOT_MIGRATED, is_current

RETRY_S = 1.0


async def wait_for_database(
    settings: Settings, status: Status, connections: Connections, stopping: asyncio.Event
) -> None:
    """Return once PostgreSQL answers and has the current schema, or `stopping` is set.

    Raises UnsuitableDatabaseError: waiting would not help.
    """

    def check() -> object | None:
        try:
            with connections.open(conninfo(settings, Application.WORKER)) as connection:
                return None if is_current(connection) else NOT_MIGRATED
        except UnsuitableDatabaseError:
            raise
        except (psycopg.Error, MigrationError) as error:
            return error

    await _wait("database", lambda: asyncio.to_thread(check), status, stopping)


async def wait_for_kafka(source: Source, status: Status, stopping: asyncio.Event) -> None:
    """Return once the consumer is connected and all topics exist, or `stopping` is set."""
    connected = False

    async def check() -> object | None:
        nonlocal connected
        try:
            if not connected:
                await source.start()
                connected = True
            missing = await source.missing_topics()
        except KafkaError as error:
            return str(error)
        return f"no topic {' and no topic '.join(missing)} yet" if missing else None

    await _wait("kafka", check, status, stopping)


async def _wait(
    name: str,
    check: Callable[[], Awaitable[object | None]],
    status: Status,
    stopping: asyncio.Event,
) -> None:
    while not stopping.is_set():
        why = await check()
        if why is None:
            status.works(name)
            return
        status.waits(name, why)
        await pause(RETRY_S, stopping)
