"""What a worker needs before it can begin: it waits for each, and reports what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import psycopg
from aiokafka.errors import KafkaError

from ingest_worker.connections import Connections
from ingest_worker.health import Status
from ingest_worker.loop.membership import Membership
from ingest_worker.loop.pause import pause
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import conninfo
from sql.errors import MigrationError, UnsuitableDatabaseError
from sql.migrate import NOT_MIGRATED, is_current
from sql.named import load

RETRY_S = 1.0


async def wait_for_database(
    settings: Settings, status: Status, connections: Connections, stopping: asyncio.Event
) -> str:
    """Return once PostgreSQL answers and has the current schema, or `stopping` is set.

    Returns the database's identity. Raises UnsuitableDatabaseError: waiting would not help.
    """
    identity = ""

    def check() -> object | None:
        nonlocal identity
        try:
            with connections.open(conninfo(settings, Application.WORKER)) as connection:
                if not is_current(connection):
                    return NOT_MIGRATED
                row = connection.execute(load("positions")["identity"]).fetchone()
                identity = row[0] if row else ""
                return None
        except UnsuitableDatabaseError:
            raise
        except (psycopg.Error, MigrationError) as error:
            return error

    await _wait("database", lambda: asyncio.to_thread(check), status, stopping)
    return identity


async def wait_for_kafka(group: Membership, status: Status, stopping: asyncio.Event) -> None:
    """Return once the consumer is connected and all topics exist, or `stopping` is set."""
    connected = False

    async def check() -> object | None:
        nonlocal connected
        try:
            if not connected:
                await group.start()
                connected = True
            missing = await group.missing_topics()
        except KafkaError as error:
            return await group.reason_of(error)
        return no_topics(missing) if missing else None

    await _wait("kafka", check, status, stopping)


def no_topics(missing: Iterable[str]) -> str:
    """What is said of topics that Kafka does not show us."""
    return f"no topic {' and no topic '.join(missing)} yet, or no right to describe it"


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
