"""A worker's state for people and probes: /metrics, /health/live and /health/ready.

They are served from a thread and a loop of their own, so that a probe is answered while the worker
is busy, within the bounds of `serving`, so that clients who are slow or many shut no probe out.
Live means that the loop turns. Ready means that nothing the worker needs is missing; if something
is, the answer says what and why. Degraded means that readings are stored, and yet somebody should
look after something: that is said, too, and a degraded worker is ready. With METRICS_TOKEN only who
brings it is told more than these words.
"""

import errno
import hmac
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest_worker import metrics
from reporting.waiting import Waiting
from schemas.settings import is_loopback
from serving.server import Config, ServerThread, listen

STALLED_AFTER_S = 30
PORTS_TRIED = 100
BACKLOG = 128
MAX_CONNECTIONS = 64
KEPT_BACK = 128
"""File descriptors that connections to PostgreSQL, Kafka and all else may need."""
GRACE_S = 1

log = logging.getLogger(__name__)


class Status:
    """What keeps the worker from its work or degrades it, and whether its loop turns.

    What it waits for has a name: start, database, positions, kafka, or a partition's. So has what
    degrades it: a duty of housekeeping, a topic's configuration.
    """

    def __init__(self) -> None:
        self._waiting = Waiting({"start": "starting"})
        self._degraded = Waiting({}, what="degraded")
        self._turned_at = time.monotonic()

    def turned(self) -> None:
        """Note that the loop turns."""
        self._turned_at = time.monotonic()

    def waits(self, name: str, why: object, **fields: Any) -> None:
        """Note that `name` keeps the worker from its work; a new reason is logged once.

        `why` is an error or a text; `fields` are further ones of the log's line.
        """
        self._waiting.missing(name, why, **fields)
        metrics.READY.set(0)

    def stops(self) -> None:
        """Note that the worker was asked to stop: from now on it is not ready."""
        self._waiting.missing("stop", "stopping", level=logging.INFO)
        metrics.READY.set(0)

    def works(self, name: str) -> None:
        """Note that `name` can be used; logged when it could not be before."""
        self._waiting.present(name)
        metrics.READY.set(0 if self._waiting.reasons else 1)

    def degraded(self, name: str, why: object, **fields: Any) -> None:
        """Note that `name` should be looked after; a new reason is logged once, as a warning."""
        self._degraded.missing(name, why, **fields)

    def recovered(self, name: str) -> None:
        """Note that `name` is fine; logged when it was not before."""
        self._degraded.present(name)

    def judged(self, name: str, why: str | None) -> None:
        """Note that `name` is degraded, or fine when `why` is None."""
        self._degraded.judged(name, why)

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop turns, and for how many seconds it has not."""
        still_s = time.monotonic() - self._turned_at
        return still_s < STALLED_AFTER_S, {"secondsSinceTurn": round(still_s, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the worker waits for nothing; the reasons by name, and what is degraded."""
        reasons, degraded = self._waiting.reasons, self._degraded.reasons
        return not reasons, {"reasons": reasons} | ({"degraded": degraded} if degraded else {})


@contextmanager
def served(status: Status, host: str, port: int, token: SecretStr | None = None) -> Iterator[int]:
    """Serve from a thread; gives the port: the one asked for or the next free one.

    Port 0 means any. Without a token everybody is told everything. Raises OSError when none of a
    hundred is free, or the host is not this machine's.
    """
    listener = _bind(host, port)
    if not token and not is_loopback(host):
        text = (
            "METRICS_HOST=%s: others may read /metrics and /health, since there is no METRICS_TOKEN"
        )
        log.warning(text, host)
    config = Config(
        _app(status, Door(token)),
        max_connections=MAX_CONNECTIONS,
        kept_back=KEPT_BACK,
        grace_s=GRACE_S,
    )
    bound: int = listener.getsockname()[1]
    thread = ServerThread(config, listener, "health")
    try:
        yield bound
    finally:
        thread.stop(GRACE_S + 1)


def _bind(host: str, port: int) -> socket.socket:
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)):
        try:
            return listen(host, candidate, BACKLOG)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise OSError(f"METRICS_HOST={host}: {error.strerror}") from None
            taken = error
            log.info("port %d is taken", candidate, extra={"port": candidate})
    raise taken


class Door:
    """Tells who brings the token from those who do not."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token.get_secret_value().encode() if token else None

    def opens(self, request: Request) -> bool:
        """Whether the request has the token, or none is demanded."""
        if not self._token:
            return True
        scheme, _, brought = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(brought.strip().encode("latin-1"), self._token)
        return same and scheme.lower() == "bearer"


def _app(status: Status, door: Door) -> Starlette:
    async def live(request: Request) -> JSONResponse:
        return _answer(*status.live(), in_detail=door.opens(request))

    async def ready(request: Request) -> JSONResponse:
        return _answer(*status.ready(), in_detail=door.opens(request))

    async def exposition(request: Request) -> Response:
        if not door.opens(request):
            headers = {"WWW-Authenticate": "Bearer"}
            return JSONResponse({"message": "METRICS_TOKEN is demanded"}, 401, headers)
        encode, media_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), headers={"Content-Type": media_type})

    async def unknown(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        message = "try GET /metrics, /health/live or /health/ready"
        return JSONResponse({"message": message}, error.status_code, error.headers)

    return Starlette(
        routes=[
            Route("/health/live", live),
            Route("/health/ready", ready),
            Route("/metrics", exposition),
        ],
        exception_handlers={HTTPException: unknown},
    )


def _answer(fine: bool, detail: dict[str, Any], *, in_detail: bool) -> JSONResponse:
    word = "unavailable" if not fine else "degraded" if detail.get("degraded") else "ok"
    return JSONResponse({"status": word, **(detail if in_detail else {})}, 200 if fine else 503)
