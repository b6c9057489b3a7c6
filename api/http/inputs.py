"""What a request says: a JSON body of a bounded size, a query string, an id in the path."""

from datetime import datetime
from typing import TypeVar
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.errors import ApiError, invalid, invalid_field, not_found, problems_of
from schemas.analytics import Window, WindowQuery
from schemas.fields import Input, Query
from schemas.text import check_id

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_DRAINED_BYTES = 64 * 1024 * 1024
"""How much of a refused body is still read, so that the client gets to see the answer."""

AnInput = TypeVar("AnInput", bound=Input)
AQuery = TypeVar("AQuery", bound=Query)


class BodyLimit:
    """Answers 413 to a body over MAX_BODY_BYTES, whether it says its length or not.

    Before an answer starts, the rest of the body is read and thrown away: a client that is still
    sending would otherwise lose the connection, and the answer with it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        announced = int(headers.get(b"content-length", b"0"))
        has_body = announced > 0 or b"transfer-encoding" in headers
        wait_to_send = b"expect" in headers
        taken = 0

        async def limited_receive() -> Message:
            nonlocal taken, has_body
            if announced > MAX_BODY_BYTES:
                raise _too_large()
            message = await receive()
            taken += len(message.get("body", b""))
            has_body = has_body and message.get("more_body", False)
            if taken > MAX_BODY_BYTES:
                raise _too_large()
            return message

        async def draining_send(message: Message) -> None:
            nonlocal taken, has_body
            while has_body and not wait_to_send and taken < MAX_DRAINED_BYTES:
                rest = await receive()
                taken += len(rest.get("body", b""))
                has_body = rest.get("more_body", False)
            await send(message)

        await self.app(scope, limited_receive, draining_send)


def _too_large() -> ApiError:
    return ApiError(413, f"The body must not be larger than {MAX_BODY_BYTES} bytes")


async def read_body(request: Request) -> bytes:
    """The JSON body's bytes, empty when there is none. Raises ApiError 413 or 415."""
    body = await request.body()
    if not body:
        return body
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError(415, "The body must be application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "The body must not be compressed")
    return body


async def read_input(request: Request, model: type[AnInput], *, optional: bool = False) -> AnInput:
    """The body as a `model`; when `optional`, no body is the same as `{}`. Raises ApiError."""
    body = await read_body(request)
    try:
        content = orjson.loads(body if body or not optional else b"{}")
    except orjson.JSONDecodeError as error:
        raise invalid_field("body", f"not JSON: {error}") from None
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid(problems_of(error, "body")) from None


def read_query(request: Request, model: type[AQuery]) -> AQuery:
    """The query string as a `model`. Raises ApiError 400."""
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise invalid(problems_of(error, "query")) from None


def asked_window(query: WindowQuery, now: datetime) -> Window:
    """The window that `query` asks for at `now`. Raises ApiError 400 that names startTime."""
    try:
        return query.window(now)
    except ValueError as error:
        raise invalid_field("startTime", str(error)) from None


def path_device_id(request: Request, what: str) -> str:
    """The device id in the path. Raises ApiError 404 for one that cannot exist."""
    encoded = request.path_params["id"]
    try:
        return check_id(unquote_to_bytes(encoded).decode())
    except ValueError:
        raise not_found(what, encoded) from None


def path_session_id(request: Request) -> UUID:
    """The session id in the path. Raises ApiError 404 for one that cannot exist."""
    encoded = request.path_params["id"]
    text = unquote(encoded)
    try:
        session_id = UUID(text)
    except ValueError:
        raise not_found("Session", encoded) from None
    if str(session_id) != text.lower():
        raise not_found("Session", encoded)
    return session_id
