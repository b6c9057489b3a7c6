"""The application: it is put together of its parts here, and has the table of all routes.

Paths are matched before percent-decoding, so that an id may hold a slash as %2F.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.alerts.keeper import AlertKeeper
from api.background import keep_running
from api.database import Database
from api.http.bodies import Body, Budget
from api.http.deadline import answer_in_time
from api.http.draining import ClosingConnections, Draining
from api.http.endpoint import Endpoint, Handler
from api.http.errors import HANDLERS
from api.http.headers import BrowserHeaders
from api.http.hosts import OwnPages
from api.http.requests import Requests
from api.ingestion import Ingestion
from api.keys.demand import why_demanded
from api.keys.errors import NoLiveKeyError
from api.keys.guard import Guard
from api.keys.ring import Keyring
from api.lag import LogReader
from api.metrics import Measured, Metrics
from api.producer import Producer
from api.routes.alerts import Alerts
from api.routes.analytics import Analytics
from api.routes.cadence import Cadence
from api.routes.chargers import ChargerAnalytics
from api.routes.corrections import Corrections
from api.routes.devices import METERS, VEHICLES, Devices
from api.routes.docs import ASSETS_PATH, Docs, assets
from api.routes.exchanges import Exchanges
from api.routes.fleet import FleetAnalytics
from api.routes.health import HealthRoutes
from api.routes.history import History
from api.routes.page import PageRoutes
from api.routes.rejected import RejectedReadings
from api.routes.sessions import Sessions
from api.routes.sign_in import SignInRoutes
from api.routes.silence import SilentDevices
from api.routes.stats import StatsRoutes
from api.routes.telemetry import Telemetry
from brokers.topics import watch_topics
from reporting.applications import Application
from reporting.waiting import Waiting
from schemas.pem_files import client_certificates
from schemas.settings import Settings
from schemas.streams import METER, STREAMS, VEHICLE
from serving.certificate import Certificate
from sql.connect import conninfo
from sql.errors import UnsuitableDatabaseError

Hopeless = UnsuitableDatabaseError | NoLiveKeyError
"""What a process ends with: waiting would not help."""
GiveUp = Callable[[Hopeless], None]


def _raised(error: Hopeless) -> None:
    raise error


class Parts:
    """What the routes work with. A process has one of each."""

    def __init__(
        self,
        settings: Settings,
        give_up: GiveUp = _raised,
        draining: Draining | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self.settings = settings
        self.draining = draining or Draining()
        self._give_up = give_up
        self.metrics = Metrics(settings.topics)
        self._certificate = certificate
        self.metrics.show_client_certificates(client_certificates(settings))
        if certificate:
            self.metrics.show_certificate(lambda: certificate.ends_at)
        self.database = Database(settings)
        self.keyring = Keyring(conninfo(settings, Application.API))
        self._why_demanded = why_demanded(settings)
        self.guard = Guard(self.keyring, self.metrics, demanded=self._why_demanded is not None)
        self._schema_seen = asyncio.Event()
        self.producer = Producer(settings, self.metrics)
        self.log_reader = LogReader(settings, self.producer.all_partitions)
        self.ingestion = Ingestion(settings, self.log_reader, self.metrics)
        self.alert_keeper = AlertKeeper(settings, self.log_reader, self.producer, self.metrics)
        self.unsafe_topics = Waiting({}, what="degraded")
        """Topics whose settings may lose readings."""

    @asynccontextmanager
    async def running(self, app: Starlette) -> AsyncIterator[None]:
        """Connect in the background, while requests are answered; close everything at the end."""
        work = {
            "database": self._database,
            "keys": self._keys,
            "kafka": self.producer.run,
            "alerts": self._alerts,
            "topics": lambda: watch_topics(self.settings, self.unsafe_topics.judged),
        }
        if self._certificate:
            work["certificate"] = self._certificate.watch
        tasks = [
            asyncio.create_task(keep_running(name, run, self.metrics.task_restarts))
            for name, run in work.items()
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.alert_keeper.close()
            await self.log_reader.close()
            await self.ingestion.close()
            await self.keyring.close()
            await self.database.close()

    async def _database(self) -> None:
        try:
            await self.database.run()
            self._schema_seen.set()
        except UnsuitableDatabaseError as error:
            self._give_up(error)

    async def _alerts(self) -> None:
        await self._schema_seen.wait()
        await self.alert_keeper.run()

    async def _keys(self) -> None:
        await self._schema_seen.wait()
        try:
            await self.keyring.run(self._why_demanded)
        except NoLiveKeyError as error:
            self._give_up(error)


def routes(parts: Parts) -> dict[str, dict[str, Handler]]:
    """Every route, as path -> method -> handler. The first path that matches is taken."""
    database, producer, metrics = parts.database, parts.producer, parts.metrics
    telemetry = Telemetry(parts.settings, producer, metrics)
    stats = StatsRoutes(parts.settings, database, parts.log_reader)
    histories = {stream.plural: History(stream, database) for stream in STREAMS.values()}
    rejected = RejectedReadings(parts.settings, database)
    sessions = Sessions(parts.settings, database)
    analytics = Analytics(parts.settings, database)
    fleet = FleetAnalytics(parts.settings, database)
    chargers = ChargerAnalytics(parts.settings, database)
    silence = SilentDevices(database)
    corrections = Corrections(parts.settings, database)
    alerts = Alerts(database)
    sign_in = SignInRoutes(parts.guard, parts.keyring, database)
    health = HealthRoutes(
        parts.settings,
        database,
        producer,
        parts.ingestion,
        metrics,
        parts.keyring,
        draining=parts.draining,
        unsafe_topics=parts.unsafe_topics,
    )
    return {
        "/v1/telemetry/ingest": {"POST": telemetry.ingest},
        "/v1/telemetry/ingest/batch": {"POST": telemetry.ingest_batch},
        "/v1/telemetry/stats": {"GET": stats.stats},
        **{
            f"/v1/telemetry/{plural}/{{id}}/history": {"GET": history.readings}
            for plural, history in histories.items()
        },
        "/v1/telemetry/rejected": {"GET": rejected.page},
        "/v1/telemetry/rejected/groups": {"GET": rejected.groups},
        "/v1/telemetry/rejected/{id}": {"GET": rejected.one},
        "/v1/telemetry/rejected/{id}/raw": {"GET": rejected.raw},
        "/v1/telemetry/rejected/{id}/replay": {"POST": rejected.replay},
        **device_routes(Devices(METERS, database)),
        **device_routes(Devices(VEHICLES, database)),
        **exchange_routes("meters", Exchanges(METER, parts.settings, database)),
        **exchange_routes("vehicles", Exchanges(VEHICLE, parts.settings, database)),
        "/v1/devices/silent": {"GET": silence.silent},
        "/v1/devices/adopt-cadence": {"POST": Cadence(database).adopt},
        "/v1/corrections": {"GET": corrections.page, "POST": corrections.create},
        "/v1/corrections/{id}": {"GET": corrections.one, "DELETE": corrections.undo},
        "/v1/sessions": {"GET": sessions.search},
        "/v1/sessions/start": {"POST": sessions.start},
        "/v1/sessions/end": {"POST": sessions.end_transaction},
        "/v1/sessions/active": {"GET": sessions.active},
        "/v1/sessions/{id}": {"GET": sessions.one, "PATCH": sessions.change},
        "/v1/sessions/{id}/end": {"POST": sessions.end},
        "/v1/session": {
            "POST": sign_in.sign_in,
            "GET": sign_in.state,
            "DELETE": sign_in.sign_out,
        },
        "/v1/alerts": {"GET": alerts.page},
        "/v1/alerts/{id}": {"GET": alerts.one},
        "/v1/alerts/{id}/acknowledge": {"POST": alerts.acknowledge},
        "/v1/analytics/limits": {"GET": analytics.limits},
        "/v1/analytics/performance/{id}": {"GET": analytics.performance},
        "/v1/analytics/sessions/{id}": {"GET": analytics.session},
        "/v1/analytics/fleet": {"GET": fleet.fleet},
        "/v1/analytics/meters": {"GET": chargers.chargers},
        "/v1/analytics/meters/{id}": {"GET": fleet.meter},
        "/v1/analytics/meters/{id}/efficiency": {"GET": chargers.efficiency},
        "/v1/analytics/realtime/{id}": {"GET": analytics.realtime},
        "/health": {"GET": health.health},
        "/health/ready": {"GET": health.ready},
        "/health/live": {"GET": health.live},
        "/metrics": {"GET": health.metrics},
    }


def device_routes(devices: Devices) -> dict[str, dict[str, Handler]]:
    """The routes of one kind of device."""
    path = f"/v1/devices/{devices.kind.stream.plural}"
    return {
        path: {"GET": devices.page, "POST": devices.create},
        f"{path}/{{id}}": {"GET": devices.one, "PATCH": devices.change},
        f"{path}/{{id}}/state": {"GET": devices.state},
    }


def exchange_routes(plural: str, exchanges: Exchanges) -> dict[str, dict[str, Handler]]:
    """The routes of the exchanges of one kind of device."""
    path = f"/v1/devices/{plural}/{{id}}/exchanges"
    return {
        path: {"GET": exchanges.page, "POST": exchanges.create},
        f"{path}/{{exchangeId}}": {"DELETE": exchanges.delete},
    }


def create_app(
    settings: Settings,
    give_up: GiveUp = _raised,
    draining: Draining | None = None,
    certificate: Certificate | None = None,
) -> ASGIApp:
    """The ASGI application. Must be called inside the event loop that will run it.

    `give_up` is told of an error that ends the process, since waiting would not help; `draining`
    says when the process is about to stop; a `certificate` is renewed while the application runs.
    """
    parts = Parts(settings, give_up, draining, certificate)
    table = routes(parts)
    budget, guard = Budget(), parts.guard
    docs, console = Docs(table, settings), PageRoutes()
    table |= {"/openapi.json": {"GET": docs.document}, "/asyncapi.json": {"GET": docs.topics}}
    table |= {"/docs": {"GET": docs.page}}
    table |= {"/": {"GET": console.page}, "/static/{name}": {"GET": console.file}}
    app = Starlette(
        routes=[
            *(
                Route(path, Methods(path, handlers, budget, guard))
                for path, handlers in table.items()
            ),
            Mount(ASSETS_PATH, assets()),
        ],
        middleware=[
            Middleware(Measured, metrics=parts.metrics),
            Middleware(ClosingConnections, draining=parts.draining),
            Middleware(OwnPages, settings=settings),
        ],
        exception_handlers=HANDLERS,
        lifespan=parts.running,
    )
    app.router.redirect_slashes = False
    return BrowserHeaders(Requests(EncodedPaths(app)))


class Methods:
    """All methods of one path. Others are answered with 405, and with those that are allowed."""

    def __init__(
        self, path: str, handlers: dict[str, Handler], budget: Budget, guard: Guard
    ) -> None:
        self._template = path
        self._budget = budget
        self._guard = guard
        self._endpoints = {method: Endpoint(handler) for method, handler in handlers.items()}
        if "GET" in self._endpoints:
            self._endpoints["HEAD"] = self._endpoints["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["template"] = self._template
        endpoint = self._endpoints.get(scope["method"])
        if endpoint is None:
            allowed = ", ".join(sorted(self._endpoints))
            message = f"{scope['method']} is not allowed here, only {allowed}"
            raise HTTPException(405, message, headers={"Allow": allowed})
        async with self._guard.let_in(scope, endpoint.access):
            response = await self._answer(endpoint, scope, receive)
            await response(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, scope: Scope, receive: Receive) -> Response:
        """The endpoint's response; the body is gone from memory when this returns."""
        body = Body(scope, receive, endpoint.max_body_bytes, self._budget)
        try:
            return await answer_in_time(endpoint, Request(scope, body.receive))
        finally:
            body.done()


class EncodedPaths:
    """Gives the application the path as it was sent; each route decodes the id in it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope.get("raw_path"):
            scope["path"] = scope["raw_path"].decode("latin-1")
        await self._app(scope, receive, send)
