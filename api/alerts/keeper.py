"""Keeps alerts: judges what has changed, again and again, by one process of the API for all.

Whichever process holds the advisory lock does it, on a connection beside the pool.
"""

import asyncio
import logging
import time
from datetime import datetime, timedelta

import psycopg
from aiokafka import TopicPartition

from api.alerts.judging import judge_sessions
from api.alerts.silence import judge_silence
from api.alerts.sinking import judge_chargers
from api.database import Connection
from api.lag import LogReader
from brokers.partitions import read_until
from reporting.applications import Application
from reporting.waiting import Waiting
from schemas.fields import utc_now
from schemas.settings import Settings
from sql import locks
from sql.connect import connect_async, conninfo, settle
from sql.named import load

EVERY_S = 5.0
SILENCE_EVERY_S = 60.0
CHARGERS_EVERY_S = 6 * 3_600.0
SETTLED_AFTER = timedelta(minutes=2)
"""A session is judged so long after its figures changed: its last readings may be on their way."""
SESSION = {"statement_timeout": "60s", "lock_timeout": "5s"}
WHAT = "keeping alerts"
POSITIONS = load("positions")
CONNECTIONS = load("connections")

log = logging.getLogger(__name__)


class AlertKeeper:
    """The side task of an API process that keeps alerts, if it is its turn."""

    def __init__(self, settings: Settings, log_reader: LogReader) -> None:
        self._settings = settings
        self._log_reader = log_reader
        self._degraded = Waiting({}, what="degraded")
        self._next = {"silence": 0.0, "chargers": 0.0}

    async def run(self) -> None:
        """Do it until cancelled, whatever becomes of PostgreSQL."""
        while True:
            try:
                await self._keep()
            except (psycopg.Error, OSError) as error:
                self._degraded.missing(WHAT, error)
            await asyncio.sleep(EVERY_S)

    async def _keep(self) -> None:
        """Keep alerts as long as the connection lasts. Raises psycopg.Error."""
        where = conninfo(self._settings, Application.API)
        async with await connect_async(where) as connection:
            await settle(connection, SESSION)
            while True:
                lock = {"lock": locks.ALERTS}
                row = await (await connection.execute(CONNECTIONS["try_lock"], lock)).fetchone()
                if row and row["taken"]:
                    break
                self._degraded.present(WHAT)
                await asyncio.sleep(EVERY_S)
            log.info("this process keeps the alerts")
            while True:
                await self.round(connection, utc_now())
                self._degraded.present(WHAT)
                await asyncio.sleep(EVERY_S)

    async def round(self, connection: Connection, now: datetime) -> None:
        """Judge what is to be judged now. Raises psycopg.Error."""
        await judge_sessions(connection, self._settings, now, now - SETTLED_AFTER)
        if self._is_time("silence", SILENCE_EVERY_S):
            heard_until = await self._heard_until(connection, now)
            if heard_until:
                await judge_silence(connection, self._settings, now, heard_until)
        if self._is_time("chargers", CHARGERS_EVERY_S):
            await judge_chargers(connection, now)

    def _is_time(self, duty: str, every_s: float) -> bool:
        clock = time.monotonic()
        if clock < self._next[duty]:
            return False
        self._next[duty] = clock + every_s
        return True

    async def _heard_until(self, connection: Connection, now: datetime) -> datetime | None:
        """The time up to which all that Kafka got is in PostgreSQL; None when nobody knows."""
        bounds = await self._log_reader.bounds()
        if not bounds:
            return None
        group = {"group_id": self._settings.kafka_group_id}
        rows = await (await connection.execute(POSITIONS["read_until"], group)).fetchall()
        read = {
            TopicPartition(row["topic"], row["partition"]): (
                row["next_offset"],
                row["last_record_ms"],
            )
            for row in rows
        }
        return read_until(bounds, read, now)
