"""While the process drains, before it stops, every answer closes its connection.

Its client then opens the next one elsewhere, and none is cut when the process ends.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Draining:
    """Whether the process drains."""

    begun = False


class ClosingConnections:
    """The middleware that adds `Connection: close` to all answers, once the drain has begun."""

    def __init__(self, app: ASGIApp, draining: Draining) -> None:
        self._app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing_send(message: Message) -> None:
            if self._draining.begun and message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._app(scope, receive, closing_send)
