"""Every metric of the API, and the middleware that measures requests.

Counters exist with all their labels from the start, where these are known: a counter that begins
with its first event hides that event from `rate` and `increase`.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPMethod
from typing import Any

from aiokafka import TopicPartition
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reporting.version import version
from schemas.alerts import RAISED_CODES
from schemas.keys import Refusal, Role
from schemas.rejected import COUNTED_REASONS

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset(HTTPMethod)
NO_ROUTE = "none"
TASKS = ("database", "keys", "kafka", "alerts", "topics", "certificate")
DELIVERED, FAILED = "delivered", "failed"
REFUSALS = tuple(reason for reason in COUNTED_REASONS if reason not in ("conflict", "refused"))
"""The reasons that a reading can be refused for before it is in Kafka."""
RATE, IN_FLIGHT = "rate", "in_flight"
"""What a key can have too much of."""
BOOKED = ("stored", "duplicate", "rejected")


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, topics: Collection[str] = ()) -> None:
        """`topics` are those of our streams."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "energy_api_requests",
            "Requests answered, by the route's template.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "energy_api_request_seconds",
            "Time from a request's headers to the end of its answer.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.produced = Counter(
            "energy_api_produced_readings",
            "Readings given to Kafka, by outcome: delivered, or failed (answered with 503).",
            ("topic", "outcome"),
            registry=self.registry,
        )
        self.refused = Counter(
            "energy_api_refused_readings",
            "Readings and records over HTTP that were not accepted, by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.refused_keys = Counter(
            "energy_api_refused_keys",
            "Requests that were answered with 401 (with 429 after many), by reason.",
            ("reason",),
            registry=self.registry,
        )
        self.limited = Counter(
            "energy_api_limited_requests",
            "Requests answered with 429: more than one key may send a second or have in flight.",
            ("role", "limit"),
            registry=self.registry,
        )
        self.task_restarts = Counter(
            "energy_api_task_restarts",
            "Times a background task failed and was started again.",
            ("task",),
            registry=self.registry,
        )
        self.pool = Gauge(
            "energy_api_database_connections",
            "Connections to PostgreSQL, by state: used or idle.",
            ("state",),
            registry=self.registry,
        )
        self.waiting = Gauge(
            "energy_api_database_requests_waiting",
            "Requests that wait for a connection to PostgreSQL.",
            registry=self.registry,
        )

        self.readings = Gauge(
            "energy_api_readings",
            "The books of the consumer group: readings by what became of them.",
            ("topic", "outcome"),
            registry=self.registry,
        )
        self.lag = Gauge(
            "energy_api_lag_records",
            "Records in Kafka that are not committed to PostgreSQL yet.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self.lag_seconds = Gauge(
            "energy_api_lag_seconds",
            "How old the oldest record that is not committed yet may be, by Kafka's time.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self.unbalanced = Gauge(
            "energy_api_unbalanced_readings",
            "Readings read less stored, duplicate and rejected: 0 as long as the books balance.",
            ("topic",),
            registry=self.registry,
        )
        self.open_alerts = Gauge(
            "energy_alerts_open",
            "Alerts of the figures that are certain and not resolved.",
            ("code",),
            registry=self.registry,
        )
        self.alert_deliveries = Counter(
            "energy_api_alert_deliveries",
            "Tries to tell an alert to a target, by outcome: delivered or failed.",
            ("target", "outcome"),
            registry=self.registry,
        )
        self.undelivered_alerts = Gauge(
            "energy_api_alerts_undelivered",
            "Events of alerts that a target has yet to get.",
            ("target",),
            registry=self.registry,
        )
        self.undelivered_seconds = Gauge(
            "energy_api_alerts_undelivered_seconds",
            "Age of the oldest of them.",
            ("target",),
            registry=self.registry,
        )
        self.key_expiry = Gauge(
            "energy_api_key_expiry_timestamp_seconds",
            "When a key ends that is good now; not of keys without an end.",
            ("id", "role"),
            registry=self.registry,
        )
        self.client_certificate_expiry = Gauge(
            "energy_api_client_certificate_expiry_timestamp_seconds",
            "When the certificate of this setting ends, which Kafka or PostgreSQL is shown.",
            ("setting",),
            registry=self.registry,
        )
        self.answers = Gauge(
            "energy_api_answers",
            "1 if the source, postgresql or kafka, answered this scrape in time.",
            ("source",),
            registry=self.registry,
        )
        self.build = Gauge(
            "energy_api_build_info",
            "The version that runs.",
            ("version",),
            registry=self.registry,
        )
        self.build.labels(version()).set(1)
        self._begin_counters(topics)

    def _begin_counters(self, topics: Collection[str]) -> None:
        for topic in topics:
            for outcome in (DELIVERED, FAILED):
                self.produced.labels(topic, outcome)
        for reason in REFUSALS:
            self.refused.labels(reason)
        for refusal in Refusal:
            self.refused_keys.labels(refusal)
        for role in Role:
            for limit in (RATE, IN_FLIGHT):
                self.limited.labels(role, limit)
        for task in TASKS:
            self.task_restarts.labels(task)

    def show_certificate(self, ends_at: Callable[[], float]) -> None:
        """Show when the certificate ends that new connections are answered with, in Unix time."""
        Gauge(
            "energy_api_certificate_expiry_timestamp_seconds",
            "When the certificate of APP_TLS_CERTFILE ends.",
            registry=self.registry,
        ).set_function(ends_at)

    def show_client_certificates(self, ends_at: Mapping[str, Callable[[], float]]) -> None:
        """Show when each setting's certificate ends, in Unix time, as of each scrape."""
        for setting, end in ends_at.items():
            self.client_certificate_expiry.labels(setting).set_function(end)

    def show_keys(self, keys: Iterable[tuple[str, str, datetime]]) -> None:
        """Show when these keys end, each with its id and role, and no others."""
        self.key_expiry.clear()
        for key_id, role, ends_at in keys:
            self.key_expiry.labels(key_id, role).set(ends_at.timestamp())

    def show_alerts(self, counts: Mapping[str, int] | None) -> None:
        """Show how many alerts of each code are open; nothing when nobody knows."""
        self.open_alerts.clear()
        if counts is not None:
            for code in RAISED_CODES:
                self.open_alerts.labels(code).set(counts.get(code, 0))

    def show_undelivered(self, targets: Iterable[tuple[str, int, float]]) -> None:
        """Show how many events each target has yet to get, and the age of the oldest in s."""
        self.undelivered_alerts.clear()
        self.undelivered_seconds.clear()
        for target, events, age_s in targets:
            self.undelivered_alerts.labels(target).set(events)
            self.undelivered_seconds.labels(target).set(age_s)

    def show_books(self, books: Sequence[Mapping[str, Any]]) -> None:
        """Show these rows of positions and books, and no others."""
        self.readings.clear()
        self.unbalanced.clear()
        for row in books:
            self.unbalanced.labels(row["topic"]).inc(
                abs(row["read"] - sum(row[outcome] for outcome in BOOKED))
            )
            for outcome in BOOKED:
                self.readings.labels(row["topic"], outcome).inc(row[outcome])

    def show_lag(self, lag: Mapping[TopicPartition, int]) -> None:
        """Show the lag of these partitions, and of no others."""
        self.lag.clear()
        for partition, records in lag.items():
            self.lag.labels(*partition).set(records)

    def show_lag_seconds(self, seconds: Mapping[TopicPartition, float]) -> None:
        """Show how old the oldest unread record may be, of these partitions and no others."""
        self.lag_seconds.clear()
        for partition, age_s in seconds.items():
            self.lag_seconds.labels(*partition).set(age_s)

    def render(self, pool: dict[str, int]) -> bytes:
        """The Prometheus text format; `pool` is psycopg_pool's statistics."""
        size, idle = pool.get("pool_size", 0), pool.get("pool_available", 0)
        self.pool.labels("used").set(size - idle)
        self.pool.labels("idle").set(idle)
        self.waiting.set(pool.get("requests_waiting", 0))
        return generate_latest(self.registry)


class Measured:
    """Counts and times every request; the routes leave their template in `scope["template"]`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 500

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        try:
            await self.app(scope, receive, noting_send)
        finally:
            seconds = time.perf_counter() - began
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = scope.get("template", NO_ROUTE)
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.request_seconds.labels(method, route).observe(seconds)
