"""How a request fails: with one exception that has a status, and one JSON body for all errors.

An exception that no handler here expects becomes a 500 with the same body; its traceback goes to
the log only.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

from api.http.requests import SAID
from api.http.responses import JsonResponse
from schemas.errors import ErrorBody, InTheWay, Problem, Taken, capped, problem
from schemas.fields import utc_now

RETRY_AFTER_S = 5

log = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that is answered with `status` and the error body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Sequence[Problem | InTheWay | Taken] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = list(details) if details is not None else None
        self.headers = dict(headers or {})


def not_found(what: str, name: str) -> ApiError:
    """404: there is no `what` of this name."""
    return ApiError(404, f"{what} {name} not found")


def conflict(message: str, details: Sequence[InTheWay | Taken] | None = None) -> ApiError:
    """409: the request is valid, but what is stored already does not allow it."""
    return ApiError(409, message, details=details)


def invalid(details: Sequence[Problem], more: int = 0, what: str = "problems") -> ApiError:
    """400, with one entry for each bad field up to a limit, and one for `more` others."""
    return ApiError(400, "Invalid input", details=capped(details, more, what))


def invalid_field(field: str, message: str) -> ApiError:
    """400 because of a single field."""
    return invalid([problem(field, message)])


def unavailable(message: str) -> ApiError:
    """503: PostgreSQL or Kafka cannot be reached; the client should try again."""
    return ApiError(503, message, headers={"Retry-After": str(RETRY_AFTER_S)})


def too_many(message: str, retry_after_s: int) -> ApiError:
    """429: so many requests are not taken; the client should go on a little later."""
    headers = {"Retry-After": str(retry_after_s)}
    return ApiError(429, f"{message}, try again a little later", headers=headers)


def problems_of(error: ValidationError, whole: str) -> list[Problem]:
    """One entry for each field that pydantic found bad; `whole` is the name of the input itself."""
    found: dict[str, str] = {}
    for entry in error.errors(include_url=False, include_context=False, include_input=False):
        path = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in entry["loc"]
        )
        field = path.lstrip(".") or whole
        found.setdefault(field, entry["msg"].removeprefix("Value error, "))
    return [problem(field, message) for field, message in found.items()]


def respond(request: Request, error: ApiError) -> Response:
    """The error body for `error`."""
    body = ErrorBody(
        status_code=error.status,
        message=error.message,
        details=error.details,
        timestamp=utc_now(),
        path=request.scope["path"],
    )
    return JsonResponse(body, status_code=error.status, headers=error.headers)


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return respond(request, error)


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail or HTTPStatus(error.status_code).phrase
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"No such route: {request.scope['path']}"
    return respond(request, ApiError(error.status_code, message, headers=error.headers))


async def _database_away(request: Request, error: Exception) -> Response:
    if not isinstance(error, PoolTimeout):  # the log has said that once already
        log.warning(
            "%s %s: %s", request.method, request.scope["path"], error, extra=_fields(request, error)
        )
        request.scope[SAID] = True
    return respond(request, unavailable("PostgreSQL is away or too busy, try again"))


async def _database_refused(request: Request, error: Exception) -> Response:
    log.error(
        "%s %s: PostgreSQL refused a value: %s",
        request.method,
        request.url.path,
        error,
        extra=_fields(request, error),
    )
    return respond(request, ApiError(400, "PostgreSQL cannot store one of the values"))


def _fields(request: Request, error: Exception) -> dict[str, object]:
    """What the log's line about a request that failed has beside its text."""
    sqlstate = getattr(error, "sqlstate", None)
    return {"method": request.method, "path": request.scope["path"], "sqlstate": sqlstate}


async def _client_gone(request: Request, error: Exception) -> Response:
    return respond(request, ApiError(400, "The request ended before its body did"))


async def _unforeseen(request: Request, error: Exception) -> Response:
    return respond(request, ApiError(500, "Something went wrong here; it has been logged"))


HANDLERS: dict[int | type[Exception], ExceptionHandler] = {
    ApiError: _api_error,
    HTTPException: _http_exception,
    psycopg.OperationalError: _database_away,
    psycopg.InterfaceError: _database_away,
    psycopg.errors.ReadOnlySqlTransaction: _database_away,
    PoolClosed: _database_away,
    TooManyRequests: _database_away,
    psycopg.DataError: _database_refused,
    ClientDisconnect: _client_gone,
    Exception: _unforeseen,
}
"""Starlette picks the handler of the nearest class of the exception."""
