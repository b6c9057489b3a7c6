"""The headers that every answer has for browsers, errors and files included."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.settings import split_host
from serving.headers import HEADERS

HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
"""A browser that has come by HTTPS comes by nothing else for a year. Not so to localhost: it would
mean whatever else is served there, too."""
_DEFAULTS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class BrowserHeaders:
    """The outermost middleware: adds HEADERS where an answer does not say otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        defaults = [*_DEFAULTS, HTTPS_ONLY] if _has_https(scope) else _DEFAULTS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                said = {name for name, _ in own}
                message["headers"] = own + [more for more in defaults if more[0] not in said]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _has_https(scope: Scope) -> bool:
    if scope["scheme"] != "https":
        return False
    host, _ = split_host(Headers(scope=scope).get("host", ""))
    return host.lower() != "localhost"
