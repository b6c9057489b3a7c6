"""The bodies of requests, of which an answer leaves nothing behind, and of answers."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.limits import MAX_DRAINED_BYTES, PIECE_BYTES

CLOSE = (b"connection", b"close")


class WholeBodies:
    """ASGI middleware that reads what the application left unread of a body, before the answer.

    A client that is still sending would otherwise lose the answer with the connection. Where the
    rest cannot be read, the answer says `Connection: close`: what comes next on the connection
    would be taken for the body's rest. So it is with a client that waits for `100 Continue`, and
    with a body of more than MAX_DRAINED_BYTES.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        unread = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        waits_to_send = headers.get(b"expect", b"").lower() == b"100-continue"
        drained = 0

        async def noting_receive() -> Message:
            nonlocal unread, waits_to_send
            waits_to_send = False
            message = await receive()
            unread = unread and message.get("more_body", False)
            return message

        async def draining_send(message: Message) -> None:
            nonlocal drained
            while unread and not waits_to_send and drained < MAX_DRAINED_BYTES:
                drained += len((await noting_receive()).get("body", b""))
            if unread and message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        await self._app(scope, noting_receive, draining_send)


class InPieces:
    """ASGI middleware that sends a large body in pieces, as fast as the client takes them.

    TLS would encrypt all of it at once, and keep it where the bound on stalled answers looks in
    vain.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_pieces(message: Message) -> None:
            rest = memoryview(message.get("body", b""))
            while len(rest) > PIECE_BYTES:
                piece, rest = bytes(rest[:PIECE_BYTES]), rest[PIECE_BYTES:]
                await send({"type": message["type"], "body": piece, "more_body": True})
            await send({**message, "body": bytes(rest)} if "body" in message else message)

        await self._app(scope, receive, send_pieces)
