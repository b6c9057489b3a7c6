"""Answers that are sent while they are read, in bounded memory."""

import logging
from collections.abc import AsyncIterator, Mapping

import psycopg
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.http.errors import ApiError

log = logging.getLogger("api")


class Streamed(StreamingResponse):
    """An answer that may fail after it began: then it is cut short, which the client can see."""

    def __init__(
        self, chunks: AsyncIterator[bytes], headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(chunks, headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            self.body_iterator = _nothing()
        try:
            await super().__call__(scope, receive, send)
        except (ApiError, psycopg.Error) as error:
            # The server cuts the connection of an answer that was not completed.
            fields = {"method": scope["method"], "path": scope["path"]}
            fields["sqlstate"] = getattr(error, "sqlstate", None)
            log.warning("%s %s: cut short: %s", scope["method"], scope["path"], error, extra=fields)


async def _nothing() -> AsyncIterator[bytes]:
    yield b""
