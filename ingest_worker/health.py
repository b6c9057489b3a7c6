"""A worker's state for people and probes: /metrics, /health/live and /health/ready.

They are served from a thread of its own, so that a probe is answered while the worker is busy.
Live means that the loop turns. Ready means that nothing the worker needs is missing; if something
is, the answer says what and why. Degraded means that readings are stored, and yet somebody should
look after something: that is said, too, and a degraded worker is ready.
"""

import logging
import threading
import time
from collections.abc import Callable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import make_wsgi_app

from ingest_worker import metrics
from reporting.waiting import Waiting

STALLED_AFTER_S = 30
PORTS_TRIED = 100

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

    def live(self) -> tuple[bool, dict[str, Any]]:
        """Whether the loop turns, and for how many seconds it has not."""
        still_s = time.monotonic() - self._turned_at
        return still_s < STALLED_AFTER_S, {"secondsSinceTurn": round(still_s, 1)}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether the worker waits for nothing; the reasons by name, and what is degraded."""
        reasons, degraded = self._waiting.reasons, self._degraded.reasons
        return not reasons, {"reasons": reasons} | ({"degraded": degraded} if degraded else {})


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        log.debug(format, *args)


def serve(status: Status, port: int) -> int:
    """Serve from a daemon thread; returns the port: the one asked for or the next free one.

    Port 0 means any. Raises OSError when none of a hundred is free.
    """
    server = _bind(_app(status), port)
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server.server_port


def _bind(app: Any, port: int) -> WSGIServer:
    for candidate in range(port, min(port + PORTS_TRIED, 65_536)):
        try:
            return make_server("", candidate, app, _Server, _Handler)
        except OSError as error:
            taken = error
            log.info("port %d is taken", candidate, extra={"port": candidate})
    raise taken


def _app(status: Status) -> Callable[..., Any]:
    exposition = make_wsgi_app()

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return exposition(environ, start_response)
        checks = {"/health/live": status.live, "/health/ready": status.ready}
        if path not in checks:
            start_response("404 Not Found", [("Content-Type", "application/json")])
            return [b'{"message":"try /metrics, /health/live or /health/ready"}']
        fine, detail = checks[path]()
        start_response(
            "200 OK" if fine else "503 Service Unavailable", [("Content-Type", "application/json")]
        )
        word = "unavailable" if not fine else "degraded" if detail.get("degraded") else "ok"
        return [orjson.dumps({"status": word, **detail})]

    return app
