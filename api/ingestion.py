"""How ingestion stands, for /metrics: books and lag, whether or not any worker runs.

PostgreSQL and Kafka are asked side by side, each with a short limit and apart from the requests: a
scrape is answered soon even when one of them is frozen. What cannot be had is left out.
"""

import asyncio
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
        known = bounds is not None and self._positions is not None
        self._metrics.show_books(books or [])
        self._metrics.show_lag(lag_of(bounds or {}, self._positions or {}) if known else {})
        self._metrics.answers.labels("postgresql").set(books is not None)
        self._metrics.answers.labels("kafka").set(bounds is not None)

    async def close(self) -> None:
        """Close the connection."""
        await self._side.close()

    async def _books(self) -> Books | None:
        try:
            return await self._side.ask(load("telemetry")["books"], self._of_group)
        except (psycopg.Error, TimeoutError):
            return None
