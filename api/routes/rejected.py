"""The quarantine over HTTP: rejected readings, why they are, their bytes, and their replay.

A replay works on a connection of its own, in a thread, as the operator's command does. When it
hangs, its connection is cut, so that no thread stays behind.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Timer
from typing import Any
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import make_conninfo
from starlette.requests import Request
from starlette.responses import Response

from api.database import SESSION, Database
from api.http.beside import beside
from api.http.callers import name_of_caller
from api.http.deadline import in_time
from api.http.endpoint import allows, answers
from api.http.errors import ApiError, conflict, not_found
from api.http.examples import REJECTION
from api.http.responses import JsonResponse, list_response
from api.http.streamed import Streamed
from reporting.applications import Application
from schemas.errors import Problem
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.rejected import (
    MAX_ID,
    Rejected,
    RejectedDetail,
    RejectedFilter,
    RejectedGroup,
    RejectedGroupFilter,
    RejectedId,
    Replay,
)
from schemas.settings import Settings
from sql import quarantine
from sql.connect import connect, conninfo, cut
from sql.named import load

SQL = load("rejected")
WHAT = "Rejected reading"
MAX_REPLAYS = 2
"""How many replays run at a time; each has a connection beside those of the pool."""
CONNECT_TIMEOUT_S = 4
REPLAY_TIMEOUT_S = 9.0
BYTES = "application/octet-stream"
SHOWN_BYTES = 64 * 1024
"""Of a rejected reading's bytes in JSON."""
PIECE_BYTES = 1024 * 1024
"""Of a rejected reading's bytes in one step."""
MAX_REPLAYED_BYTES = 8 * 1024 * 1024
_ID = re.compile(r"[1-9][0-9]{0,18}")


class RejectedReadings:
    """The routes below /v1/telemetry/rejected."""

    raw_example = REJECTION.raw.decode()

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._decoders = settings.decoders()
        self._threads = ThreadPoolExecutor(MAX_REPLAYS, thread_name_prefix="replay")

    @allows(Access.READ)
    @answers(list[Rejected], headers=("Link",))
    async def page(self, request: Request, query: RejectedFilter) -> Response:
        """Rejected readings, newest first, those that match all filters given."""
        times = {"since": query.start_time, "until": query.end_time}
        parameters = query.model_dump() | times | {"limit": query.limit + 1}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["page"], parameters)).fetchall()
        found = [Rejected.model_validate(row) for row in rows]
        return list_response(request, found, query.limit, "id")

    @allows(Access.READ)
    @answers(list[RejectedGroup], headers=("Link",))
    async def groups(self, request: Request, query: RejectedGroupFilter) -> Response:
        """Rejected readings counted by topic, device and reason, the newest first."""
        streams = self._settings.streams
        topics = {"topics": list(self._decoders), "reading_topics": list(streams)}
        times = self._settings.clock_limits(utc_now())._asdict()
        parameters = query.model_dump() | topics | times | {"limit": query.limit + 1}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["groups"], parameters)).fetchall()
        for row in rows:
            stream = streams.get(row["topic"])
            row["stream"] = stream.name if stream else None
        found = [RejectedGroup.model_validate(row) for row in rows]
        return list_response(request, found, query.limit, "latest_id")

    @allows(Access.READ)
    @answers(RejectedDetail, errors=(404,), path_id=RejectedId)
    async def one(self, request: Request) -> Response:
        """A rejected reading with its first bytes."""
        row = await self._row(_path_id(request))
        return JsonResponse(await beside(len(row["raw"] or b""), RejectedDetail.of_row, row))

    @allows(Access.READ)
    @answers(None, errors=(404,), path_id=RejectedId, media={BYTES: "raw_example"})
    async def raw(self, request: Request) -> Response:
        """All bytes that were kept of a rejected reading, as they came."""
        rejected_id = _path_id(request)
        await self._row(rejected_id)
        first = await self._piece(rejected_id, 0)
        if first is None:
            raise ApiError(404, f"The bytes of {WHAT.lower()} {rejected_id} were not kept")
        headers = {"Content-Disposition": f"attachment; filename=rejected-{rejected_id}"}
        return Streamed(self._pieces(rejected_id, first), headers, BYTES)

    @allows(Access.OPERATE)
    @answers(Replay, errors=(404, 409), path_id=RejectedId)
    async def replay(self, request: Request) -> Response:
        """Store a rejected reading that is valid by now; twice stores once, 409 when it is not."""
        rejected_id = _path_id(request)
        row = await self._row(rejected_id)
        if row["resolved_at"] is None and (row["kept_bytes"] or 0) > MAX_REPLAYED_BYTES:
            raise conflict(f"{WHAT} {rejected_id} is too large; read its record from Kafka again")
        who = name_of_caller(request)
        loop = asyncio.get_running_loop()
        replayed = await loop.run_in_executor(self._threads, self._replay, rejected_id, who)
        if replayed.outcome is None:
            problem = Problem(field="raw", message=replayed.detail or "", reason=replayed.reason)
            message = f"{WHAT} {rejected_id} is still not valid, {replayed.reason}"
            raise ApiError(409, f"{message}: {replayed.detail}", details=[problem])
        record = Rejected.model_validate(await self._row(rejected_id))
        return JsonResponse(Replay.model_validate({"outcome": replayed.outcome, "record": record}))

    async def _row(self, rejected_id: int) -> dict[str, Any]:
        async with self._database.connection() as connection:
            cursor = await connection.execute(
                SQL["detail"], {"id": rejected_id, "shown": SHOWN_BYTES}
            )
            row = await cursor.fetchone()
        if row is None:
            raise not_found(WHAT, str(rejected_id))
        return row

    async def _piece(self, rejected_id: int, start: int) -> bytes | None:
        parameters = {"id": rejected_id, "start": start + 1, "bytes": PIECE_BYTES}
        async with self._database.connection() as connection:
            cursor = await connection.execute(SQL["raw_piece"], parameters, binary=True)
            row = await cursor.fetchone()
        return row["piece"] if row else None

    async def _pieces(self, rejected_id: int, piece: bytes | None) -> AsyncIterator[bytes]:
        """The bytes, read piece by piece; `piece` is the first. No connection is held between."""
        sent = 0
        while piece:
            yield piece
            sent += len(piece)
            if len(piece) < PIECE_BYTES:
                return
            piece = await in_time(self._piece(rejected_id, sent))

    def _replay(self, rejected_id: int, who: str) -> quarantine.Replayed:
        where = conninfo(self._settings, Application.API_REPLAY)
        where = make_conninfo(where, connect_timeout=CONNECT_TIMEOUT_S)
        with (
            connect(where, SESSION | quarantine.SESSION) as connection,
            _cut_after(connection, REPLAY_TIMEOUT_S),
        ):
            quarantine.prepare(connection)
            return quarantine.replay(
                connection,
                rejected_id,
                decoders=self._decoders,
                limits=self._settings.clock_limits(utc_now()),
                resolved_by=who,
            )


@contextmanager
def _cut_after(connection: psycopg.Connection[Any], seconds: float) -> Iterator[None]:
    """Cut the connection after `seconds`: psycopg itself waits for ever for a frozen server."""
    timer = Timer(seconds, cut, (connection,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


def _path_id(request: Request) -> int:
    name = unquote(request.path_params["id"])
    if not _ID.fullmatch(name) or int(name) > MAX_ID:
        raise not_found(WHAT, request.path_params["id"])
    return int(name)
