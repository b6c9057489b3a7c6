"""Whether the process lives and can answer, what it depends on, and its metrics."""

import asyncio

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.draining import Draining
from api.http.endpoint import allows, answers
from api.http.errors import unavailable
from api.http.responses import JsonResponse
from api.ingestion import Ingestion
from api.keys.demand import warnings, why_demanded
from api.keys.ring import Keyring
from api.metrics import Metrics
from api.producer import Producer
from reporting.waiting import Waiting
from schemas.fields import utc_now
from schemas.health import Check, Checks, Health, Sign
from schemas.keys import Access
from schemas.settings import Settings


class HealthRoutes:
    """The routes /health, /health/ready, /health/live and /metrics."""

    metrics_example = "# HELP energy_api_requests_total ..."

    def __init__(
        self,
        settings: Settings,
        database: Database,
        producer: Producer,
        ingestion: Ingestion,
        metrics: Metrics,
        keyring: Keyring,
        *,
        draining: Draining,
        unsafe_topics: Waiting,
    ) -> None:
        self._says_why = why_demanded(settings) is None
        self._warnings = warnings(settings)
        self._unsafe_topics = unsafe_topics
        self._draining = draining
        self._database = database
        self._producer = producer
        self._ingestion = ingestion
        self._metrics = metrics
        self._keyring = keyring

    @allows(Access.READ)
    @answers(Health, also=(503,), waits=False)
    async def health(self, request: Request) -> Response:
        """What the API depends on: unhealthy (503) without PostgreSQL, degraded without Kafka.

        Degraded, too, is a Kafka whose topics' settings may lose readings; its check says which.
        """
        database, kafka = await asyncio.gather(self._database.check(), self._producer.check())
        unsafe = [f"topic {name}: {why}" for name, why in self._unsafe_topics.reasons.items()]
        found = Check(status="down" if kafka else "up", message=kafka or "; ".join(unsafe) or None)
        body = Health(
            status="unhealthy" if database else "degraded" if found.message else "healthy",
            timestamp=utc_now(),
            checks=Checks(database=_check(database), kafka=found),
            warnings=self._warnings,
        )
        return JsonResponse(body, 503 if database else 200)

    @allows(Access.OPEN)
    @answers(Sign)
    async def ready(self, request: Request) -> Response:
        """Whether to send requests here: 503 without PostgreSQL, and once this process stops.

        It says why only where no keys are demanded.
        """
        if self._draining.begun:
            raise unavailable("stopping")
        if trouble := await self._database.check():
            why = f"Waiting for {self._database.name}: {trouble}"
            raise unavailable(why if self._says_why else "not ready")
        return JsonResponse(Sign(status="ready", timestamp=utc_now()))

    @allows(Access.OPEN)
    @answers(Sign, waits=False)
    async def live(self, request: Request) -> Response:
        """The process answers."""
        return JsonResponse(Sign(status="live", timestamp=utc_now()))

    @allows(Access.METRICS)
    @answers(None, media={"text/plain": "metrics_example"}, waits=False)
    async def metrics(self, request: Request) -> Response:
        """The process's metrics and how ingestion stands, in Prometheus' text format."""
        await self._ingestion.look()
        self._metrics.show_keys(self._keyring.ending())
        text = self._metrics.render(self._database.pool_stats())
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _check(trouble: str | None) -> Check:
    return Check(status="down" if trouble else "up", message=trouble)
