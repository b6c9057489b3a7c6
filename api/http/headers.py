"""The headers that every answer has for browsers, errors and files included."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.headers import HEADERS

HTTPS_ONLY = (b"strict-transport-security", b"max-age=31536000")
"""A browser that has come by HTTPS comes by nothing else for a year."""
_DEFAULTS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]


class BrowserHeaders:
    """The outermost middleware: adds HEADERS where an answer does not say otherwise itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        defaults = [*_DEFAULTS, HTTPS_ONLY] if scope["scheme"] == "https" else _DEFAULTS

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                said = {name for name, _ in own}
                message["headers"] = own + [more for more in defaults if more[0] not in said]
            await send(message)

        await self._app(scope, receive, send_with_headers)
