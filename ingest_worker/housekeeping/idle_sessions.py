"""Ending sessions that nobody ended, once both their devices have been silent for long.

Silence is judged by what Kafka has, not by what PostgreSQL has got so far: while readings wait to
be written, or a partition is stopped, the clock stands still at the time up to which all is read.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka.errors import KafkaError

from brokers.partitions import log_bounds
from schemas.settings import Settings
from sql.connect import Connection
from sql.named import load

SESSIONS = load("sessions")

log = logging.getLogger(__name__)


def end_idle_sessions(connection: Connection, settings: Settings, now: datetime) -> int:
    """End the idle sessions; returns how many. Raises psycopg.Error.

    None ends while Kafka does not answer.
    """
    timeout = timedelta(minutes=settings.session_idle_timeout_minutes)
    if not timeout or not _any(connection, now - timeout):
        return 0
    try:
        heard_until = asyncio.run(_read_until(connection, settings, now))
    except KafkaError as error:
        log.info("no session is ended as idle, Kafka does not answer: %s", error)
        return 0
    if heard_until is None:
        return 0
    return end_silent(connection, heard_until - timeout)


def end_silent(connection: Connection, silent_since: datetime) -> int:
    """End the active sessions whose devices were last heard before that time."""
    parameters = {"silent_since": silent_since}
    ended = connection.execute(SESSIONS["end_idle"], parameters).fetchall()
    for session_id, meter_id, vehicle_id, ended_at in ended:
        fields = {"session": session_id, "meter": meter_id, "vehicle": vehicle_id}
        log.info("session %s of %s and %s was idle, ended at %s", session_id, meter_id, vehicle_id,
                 ended_at, extra=fields)  # fmt: skip
    return len(ended)


def _any(connection: Connection, silent_since: datetime) -> bool:
    query = SESSIONS["idle_candidates"]
    row: Any = connection.execute(query, {"silent_since": silent_since}).fetchone()
    return bool(row[0])


async def _read_until(connection: Connection, settings: Settings, now: datetime) -> datetime | None:
    """The time up to which every record Kafka got is in PostgreSQL; None when that is unknown."""
    bounds = await log_bounds(settings, list(settings.streams))
    query = load("positions")["read_until"]
    rows = connection.execute(query, {"group_id": settings.kafka_group_id}).fetchall()
    read = {(topic, number): (at, ms) for topic, number, at, ms in rows}
    until = now
    for partition, (start, end) in bounds.items():
        position, last_ms = read.get((partition.topic, partition.partition), (start, None))
        if position >= end:
            continue
        if last_ms is None:
            return None
        until = min(until, datetime.fromtimestamp(last_ms / 1000, UTC))
    return until
