"""Every metric of the API, and the middleware that measures requests."""

import time
from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
METHODS = frozenset(HTTPMethod)
NO_ROUTE = "none"


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.task_restarts = Counter(
            "energy_api_task_restarts",
            "Times a background task failed and was started again: database or kafka.",
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
