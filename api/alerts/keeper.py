"""Keeps alerts: judges what has changed, and tells of it, by one process of the API for all.

Whichever process holds the advisory lock does it, on connections beside the pool.
"""

import asyncio
import logging
import time
from datetime import datetime, timedelta

import httpx
import psycopg
from aiokafka import TopicPartition

from api.alerts.delivery import Delivery
from api.alerts.judging import judge_sessions
from api.alerts.silence import judge_silence
from api.alerts.sinking import judge_chargers
from api.alerts.telling import ANSWER_WITHIN_S, Alertmanager, Teller, Topic, Webhook
from api.database import Connection
from api.lag import LogReader
from api.metrics import Metrics
from api.producer import Producer
from api.side_connection import SideConnection
from brokers.partitions import read_until
from reporting.applications import Application
from reporting.waiting import Waiting
from schemas.alert_targets import TargetKind
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

    def __init__(
        self, settings: Settings, log_reader: LogReader, producer: Producer, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._log_reader = log_reader
        self._producer = producer
        self._metrics = metrics
        self._side = SideConnection(conninfo(settings, Application.API), ANSWER_WITHIN_S)
        self._degraded = Waiting({}, what="degraded")
        self._next = {"silence": 0.0, "chargers": 0.0}

    async def run(self) -> None:
        """Do it until cancelled, whatever becomes of PostgreSQL."""
        while True:
            try:
                await self._keep()
            except* (psycopg.Error, OSError) as group:
                self._degraded.missing(WHAT, _first(group))
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
            for target in self._settings.alert_targets:
                if target.kind is TargetKind.WEBHOOK and not target.secrets:
                    log.warning("what %s is told is not signed: ALERT_WEBHOOKS", target.name)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._judge(connection))
                group.create_task(self._tell())

    async def _judge(self, connection: Connection) -> None:
        while True:
            await self.round(connection, utc_now())
            self._degraded.present(WHAT)
            await asyncio.sleep(EVERY_S)

    async def _tell(self) -> None:
        """Tell others of alerts, for as long as this process keeps them."""
        (row,) = await self._side.ask(POSITIONS["identity"])
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_S, follow_redirects=False) as http:
            tellers: list[Teller] = [
                Alertmanager(target, http)
                if target.kind is TargetKind.ALERTMANAGER
                else Webhook(target, http, row["id"])
                for target in self._settings.alert_targets
            ]
            if self._settings.alert_topic:
                tellers.append(Topic(self._settings.alert_topic, self._producer, row["id"]))
            await Delivery(tellers, self._side, self._metrics, utc_now).run()

    async def close(self) -> None:
        """Close the connection that deliveries are kept by."""
        await self._side.close()

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


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    """The first error of a group, or of a group in it."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
