"""Answers to what is no request, or comes too slowly: the API's error body, ready to send."""

from http import HTTPStatus

import orjson

from schemas.errors import ErrorBody
from schemas.fields import utc_now
from serving.headers import HEADERS

RETRY_AFTER_S = 5
_FOR_BROWSERS = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items()).encode()


def refusal(status: int, message: str) -> bytes:
    """A whole HTTP/1.1 answer that closes the connection. Without a request, `path` is empty."""
    body = ErrorBody(
        status_code=status, message=message, details=None, timestamp=utc_now(), path=""
    )
    content = orjson.dumps(body.model_dump(by_alias=True), option=orjson.OPT_UTC_Z)
    retry = (
        b"retry-after: %d\r\n" % RETRY_AFTER_S if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
    )
    return (
        b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\n%s%scontent-length: %d\r\n"
        b"connection: close\r\n\r\n%s"
        % (status, HTTPStatus(status).phrase.encode(), _FOR_BROWSERS, retry, len(content), content)
    )
