"""The books over HTTP: what became of the readings of each topic, and the lag of their readers."""

from collections import Counter
from typing import Any

from aiokafka import TopicPartition
from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.endpoint import allows, answers
from api.http.responses import JsonResponse
from api.lag import LogReader, lag_of
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.telemetry import RejectedCount, Stats, TopicStats
from sql.named import load

SQL = load("telemetry")


class StatsRoutes:
    """The route /v1/telemetry/stats."""

    def __init__(self, settings: Settings, database: Database, log_reader: LogReader) -> None:
        self._group_id = settings.kafka_group_id
        self._topics = settings.topics
        self._database = database
        self._log_reader = log_reader

    @allows(Access.READ)
    @answers(Stats)
    async def stats(self, request: Request) -> Response:
        """The books and the lag of each topic."""
        parameters = {"group_id": self._group_id, "topics": self._topics}
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(load("snapshots")["one_snapshot"])
            books = await (await connection.execute(SQL["books"], parameters)).fetchall()
            cursor = await connection.execute(SQL["rejected_by_reason"], parameters)
            rejected = await cursor.fetchall()
        lag = await self._lag(books)
        shown = [_topic_stats(topic, books, rejected, lag) for topic in self._topics]
        return JsonResponse(Stats(group_id=self._group_id, timestamp=utc_now(), topics=shown))

    async def _lag(self, books: list[dict[str, Any]]) -> dict[str, int]:
        """The lag of each topic, in records; empty when Kafka cannot be reached."""
        bounds = await self._log_reader.bounds()
        if bounds is None:
            return {}
        positions = {TopicPartition(b["topic"], b["partition"]): b["next_offset"] for b in books}
        lag = Counter[str]()
        for partition, records in lag_of(bounds, positions).items():
            lag[partition.topic] += records
        return lag


def _topic_stats(
    topic: str, books: list[dict[str, Any]], rejected: list[dict[str, Any]], lag: dict[str, int]
) -> TopicStats:
    own = [book for book in books if book["topic"] == topic]
    by_reason = {row["reason"]: row["readings"] for row in rejected if row["topic"] == topic}
    return TopicStats(
        topic=topic,
        read=sum(book["read"] for book in own),
        stored=sum(book["stored"] for book in own),
        duplicate=sum(book["duplicate"] for book in own),
        rejected=RejectedCount(
            total=sum(book["rejected"] for book in own), by_reason=dict(sorted(by_reason.items()))
        ),
        lag=lag.get(topic),
    )
