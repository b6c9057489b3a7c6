"""How ingestion stands, for /metrics: books and lag, whether or not any worker runs.

PostgreSQL and Kafka are asked side by side, each with a short limit and apart from the requests: a
scrape is answered soon even when one of them is frozen. What cannot be had is left out.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import psycopg
from aiokafka import TopicPartition

from api.lag import LogReader, lag_of
from api.metrics import Metrics
from api.side_connection import SideConnection
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import conninfo
from sql.named import load

ANSWER_WITHIN_S = 2.0
Books = list[dict[str, Any]]


class Ingestion:
    """Looks at both sides at each scrape."""

    def __init__(self, settings: Settings, log_reader: LogReader, metrics: Metrics) -> None:
        self._of_group = {"group_id": settings.kafka_group_id, "topics": settings.topics}
        self._log_reader = log_reader
        self._metrics = metrics
        self._side = SideConnection(conninfo(settings, Application.API), ANSWER_WITHIN_S)
        self._read_until: Mapping[TopicPartition, float] = {}
        """Kafka's time of the last record of each partition that is committed."""
        self._positions: Mapping[TopicPartition, int] | None = None
        """As of the last answer of PostgreSQL. While it gives none, nobody else can move them
        either; so the lag is right as long as it is PostgreSQL that is away, not just this process
        that cannot reach it."""

    async def look(self) -> None:
        """Set the gauges of books and lag to what is so now."""
        books, bounds = await asyncio.gather(self._books(), self._log_reader.bounds())
        if books is not None:
            self._positions = {
                TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in books
            }
            self._read_until = {
                TopicPartition(row["topic"], row["partition"]): row["last_record_ms"] / 1000
                for row in books
                if row["last_record_ms"] is not None
            }
        known = bounds is not None and self._positions is not None
        self._metrics.show_books(books or [])
        await self._show_alerts(known=books is not None)
        lag = lag_of(bounds or {}, self._positions or {}) if known else {}
        self._metrics.show_lag(lag)
        self._metrics.show_lag_seconds(self._oldest(lag))
        self._metrics.answers.labels("postgresql").set(books is not None)
        self._metrics.answers.labels("kafka").set(bounds is not None)

    async def close(self) -> None:
        """Close the connection."""
        await self._side.close()

    def _oldest(self, lag: Mapping[TopicPartition, int]) -> dict[TopicPartition, float]:
        """How old the oldest unread record of each partition may be: as old as the last read one.

        Of a partition of which nothing was read, nobody knows.
        """
        now = time.time()
        return {
            partition: max(0.0, now - self._read_until[partition]) if records else 0.0
            for partition, records in lag.items()
            if not records or partition in self._read_until
        }

    async def _show_alerts(self, *, known: bool) -> None:
        """Show what is amiss and what is yet to be told; nothing unless PostgreSQL is `known` to
        answer, so that a scrape waits for it once.
        """
        counts, targets = None, []
        if known:
            with contextlib.suppress(psycopg.Error, TimeoutError):
                rows = await self._side.ask(load("alerts")["open_counts"])
                targets = await self._side.ask(load("alert_deliveries")["undelivered"])
                counts = {row["code"]: row["alerts"] for row in rows}
        self._metrics.show_alerts(counts)
        self._metrics.show_undelivered(
            (row["target"], row["events"], row["age_s"]) for row in targets
        )

    async def _books(self) -> Books | None:
        try:
            return await self._side.ask(load("telemetry")["books"], self._of_group)
        except (psycopg.Error, TimeoutError):
            return None
