"""What a request says: a JSON body, a query string, an id in the path."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TypeVar
from urllib.parse import parse_qsl, unquote, unquote_to_bytes
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.http.beside import beside
from api.http.errors import ApiError, invalid, invalid_field, not_found, problems_of
from schemas.analytics import Window, WindowQuery
from schemas.errors import MAX_DETAILS, Problem, problem
from schemas.fields import Input, Query
from schemas.text import check_id

MAX_PARAMETERS = 100
_SPACE_FOR_PLUS = re.compile(r"\d [0-9:]{1,5}$")

AnInput = TypeVar("AnInput", bound=Input)
AQuery = TypeVar("AQuery", bound=Query)


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
    if not body and optional:
        body = b"{}"
    return await beside(len(body), _input, body, model)


def _input(body: bytes, model: type[AnInput]) -> AnInput:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise invalid_field("body", f"not JSON: {error}") from None
    if isinstance(content, dict):
        _check_names(content, model)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise invalid(problems_of(error, "body")) from None


def read_query(request: Request, model: type[AQuery]) -> AQuery:
    """The query string as a `model`. Raises ApiError 400."""
    query = _pairs(request.scope["query_string"])
    try:
        return model.model_validate(query)
    except ValidationError as error:
        raise invalid([_unescaped(p, query) for p in problems_of(error, "query")]) from None


def _pairs(query_string: bytes) -> dict[str, str]:
    """The parameters of a query string, each of which comes once. Raises ApiError 400."""
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except UnicodeError:
        raise invalid_field("query", "not UTF-8, or not percent-encoded") from None
    except ValueError:
        raise invalid_field("query", f"more than {MAX_PARAMETERS} parameters") from None
    counts = Counter(name for name, _ in pairs)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise invalid([problem(name, "given more than once") for name in repeated])
    return dict(pairs)


def _check_names(given: Mapping[str, object], model: type[BaseModel]) -> None:
    """Raise ApiError 400 where there are too many unknown fields to look at each of them."""
    unknown = given.keys() - {field.alias for field in model.model_fields.values()}
    if len(unknown) > MAX_DETAILS:
        first = islice((name for name in given if name in unknown), MAX_DETAILS)
        shown = [problem(name, "Extra inputs are not permitted") for name in first]
        raise invalid(shown, more=len(unknown) - MAX_DETAILS)


def _unescaped(found: Problem, query: Mapping[str, str]) -> Problem:
    """The problem, with a hint where the value has a space that was sent as a plus sign."""
    if not _SPACE_FOR_PLUS.search(query.get(found.field, "")):
        return found
    return problem(found.field, f"{found.message}; a + in a query string is written %2B")


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
    return path_uuid(request, "id", "Session")


def path_uuid(request: Request, name: str, what: str) -> UUID:
    """The UUID `name` in the path, of a `what`. Raises ApiError 404 for one that cannot exist."""
    encoded = request.path_params[name]
    text = unquote(encoded)
    try:
        found = UUID(text)
    except ValueError:
        raise not_found(what, encoded) from None
    if str(found) != text.lower():
        raise not_found(what, encoded)
    return found
