"""What a request is known by: an id in its answer and in the log, and a span in its trace.

The id is the client's own X-Request-Id where that is fit to stand in a line of the log, else one
that is made here. The span continues the trace that the client's traceparent names.
"""

import logging
import os
import re
import time
from http import HTTPMethod, HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reporting.logs import REQUEST
from reporting.tracing import Kind, Span, is_on, span

HEADER = "x-request-id"
FIT = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
TRACE_HEADERS = ("traceparent", "tracestate")
SIGNS = ("/health", "/metrics")
"""They are asked for all the time, and their answers say what is wrong: no span, no line."""
METHODS = frozenset(HTTPMethod)
MAX_LINES_PER_S = 10
"""About requests that failed: in an outage all do, and for one reason."""

SAID = "api.said"
"""In the scope of a request whose failure was logged, with its reason."""

log = logging.getLogger("api.requests")


class Requests:
    """The middleware around everything that answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._second = 0
        self._lines = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.getlist(HEADER)
        fit = len(given) == 1 and FIT.fullmatch(given[0])
        request = given[0] if fit else os.urandom(8).hex()
        REQUEST.set(request)  # for the rest of the request's task: uvicorn logs what fails here
        answer = _Answer(send, request)
        sign = scope["path"].startswith(SIGNS)
        began = time.monotonic()
        try:
            if sign or not is_on():
                await self._app(scope, receive, answer.send)
            else:
                await self._answer_traced(scope, receive, answer, headers)
        finally:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not sign:
                self._note(scope, answer.status, time.monotonic() - began)

    async def _answer_traced(
        self, scope: Scope, receive: Receive, answer: "_Answer", headers: Headers
    ) -> None:
        path = scope["path"]
        caller = {name: headers[name] for name in TRACE_HEADERS if name in headers}
        with span(_method(scope), kind=Kind.SERVER, caller=caller) as server:
            try:
                await self._app(scope, receive, answer.send)
            finally:
                _describe(server, scope, path, answer.status)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Say that a request failed here, unless that or enough was said already."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines <= MAX_LINES_PER_S and SAID not in scope:
            method, path = scope["method"], scope["path"]
            fields = {"method": method, "path": path, "status": status}
            log.warning("%s %s: answered %d, %.3f s", method, path, status, seconds, extra=fields)


class _Answer:
    """Sends an answer with the request's id, and keeps its status."""

    def __init__(self, send: Send, request: str) -> None:
        self._send = send
        self._header = (HEADER.encode(), request.encode())
        self.status = 0
        """0 until there is one."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._header]
        await self._send(message)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "HTTP"


def _describe(server: Span, scope: Scope, path: str, status: int) -> None:
    """Name the span by the route's template, and say what became of it."""
    server.note(
        {
            "http.request.method": _method(scope),
            "url.path": path,
            "url.scheme": scope["scheme"],
            "energy.request": REQUEST.get() or "",
        }
    )
    if route := scope.get("template"):
        server.rename(f"{_method(scope)} {route}")
        server.note({"http.route": route})
    if status:
        server.note({"http.response.status_code": status})
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        server.fail(str(status))
