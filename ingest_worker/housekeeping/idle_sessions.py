"""Ending sessions that nobody ended, once both their devices have been silent for long.

Silence is judged by what Kafka has, not by what PostgreSQL has got so far: while readings wait to
be written, or a partition is stopped, the clock stands still at the time up to which all is read.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from uuid import UUID

import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from brokers.partitions import log_bounds, read_until
from ingest_worker.errors import DutyFailedError
from schemas.settings import Settings
from schemas.text import one_line
from sql.connect import Connection
from sql.named import load

SESSIONS = load("sessions")
IN_THE_WAY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
"""What another writer of the same session or device may cause."""

log = logging.getLogger(__name__)


def end_idle_sessions(connection: Connection, settings: Settings, now: datetime) -> int:
    """End the idle sessions; returns how many.

    Raises psycopg.Error, or DutyFailedError while Kafka does not answer.
    """
    timeout = timedelta(minutes=settings.session_idle_timeout_minutes)
    if not timeout or not _candidates(connection, now - timeout):
        return 0
    try:
        heard_until = asyncio.run(_read_until(connection, settings, now))
    except KafkaError as error:
        raise DutyFailedError(f"Kafka does not answer: {error!r}") from error
    if heard_until is None:
        return 0
    return end_silent(connection, heard_until - timeout)


def end_silent(connection: Connection, silent_since: datetime) -> int:
    """End the active sessions whose devices were last heard before that time; returns how many."""
    return sum(_end(connection, one, silent_since) for one in _candidates(connection, silent_since))


def _candidates(connection: Connection, silent_since: datetime) -> list[UUID]:
    rows = connection.execute(SESSIONS["idle_candidates"], {"silent_since": silent_since})
    return [session_id for (session_id,) in rows.fetchall()]


def _end(connection: Connection, session_id: UUID, silent_since: datetime) -> bool:
    """End one session, unless it has come to life, or somebody is at it: then a later round may.

    Each has a transaction of its own: writers of sessions hold the locks of one only.
    """
    parameters = {"session_id": session_id, "silent_since": silent_since}
    try:
        with connection.transaction():
            connection.execute(SESSIONS["lock_no_longer"])
            connection.execute(SESSIONS["lock"], parameters)
            ended = connection.execute(SESSIONS["end_idle"], parameters).fetchone()
    except IN_THE_WAY as error:
        fields = {"session": session_id, "sqlstate": error.sqlstate}
        why = one_line(error)
        log.info("session %s is not ended as idle in this round: %s", session_id, why, extra=fields)
        return False
    if ended is not None:
        fields = dict(zip(("session", "meter", "vehicle"), ended, strict=False))
        log.info("session %s of %s and %s was idle, ended at %s", *ended, extra=fields)
    return ended is not None


async def _read_until(connection: Connection, settings: Settings, now: datetime) -> datetime | None:
    """The time up to which every record Kafka got is in PostgreSQL; None when that is unknown."""
    bounds = await log_bounds(settings, settings.topics)
    query = load("positions")["read_until"]
    rows = connection.execute(query, {"group_id": settings.kafka_group_id}).fetchall()
    read = {TopicPartition(topic, number): (at, ms) for topic, number, at, ms in rows}
    return read_until(bounds, read, now)
