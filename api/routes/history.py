"""History: a device's readings, as sent or as corrected, as JSON or CSV, in bounded memory.

An answer is read in steps, each of which goes on after the last reading of the one before. Between
two steps it holds neither a connection nor a snapshot, so that clients may be many, slow or stuck.
This is as good as one snapshot, since a stored reading never changes; a late one that is stored
meanwhile may be part of the answer or not, and so may each reading that a correction made meanwhile
has to do with. The end of a page is found in the same snapshot as its first step, so that a page of
one step is never longer than its limit. Late readings can make a page of several steps longer: if
it stopped at its limit, the next page would leave readings out.
"""

import csv
import io
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.deadline import in_time
from api.http.endpoint import JSON, allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id
from api.http.responses import next_page
from api.http.streamed import Streamed
from api.readings import Readings, Rows
from schemas.analytics import Window
from schemas.fields import device_id_of, utc_now
from schemas.history import HistoryQuery
from schemas.keys import Access
from schemas.streams.stream import Stream
from sql.named import load, load_for

ONE_SNAPSHOT = load("snapshots")["one_snapshot"]
CSV = "text/csv"
RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
"""What a text begins with that a spreadsheet takes for a formula."""


class History:
    """The route .../:id/history of one kind of device."""

    def __init__(self, stream: Stream, database: Database) -> None:
        self.sent = list[stream.stored_reading]  # type: ignore[name-defined]
        self.id_type = device_id_of(stream)
        self.csv_example = _csv_header(stream.json_names) + "..."
        self._stream = stream
        self._sql = load_for(stream)
        self._word = stream.name.capitalize()
        self._database = database

    @allows(Access.READ)
    @answers(
        "sent",
        errors=(404,),
        path_id="id_type",
        headers=("Link",),
        media={CSV: "csv_example"},
    )
    async def readings(self, request: Request, query: HistoryQuery) -> Response:
        """A device's readings, oldest first; the last 24 h unless a window is given."""
        device_id = path_device_id(request, self._word)
        window = asked_window(query, utc_now())
        readings, page, first = await self._begin(device_id, window, query)
        headers = {}
        if page.end < window.end:
            headers = next_page(request, startTime=_iso(page.end), endTime=_iso(window.end))
        steps = self._steps(readings, *first)
        if query.format == "json":
            return Streamed(_json(steps, self._stream.optional_names), headers, JSON)
        name = f"{quote(device_id, safe='')}.csv"
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{name}"
        if query.safe:
            steps = _for_spreadsheets(steps)
        return Streamed(_csv(steps, self._stream.json_names), headers, CSV)

    async def _begin(
        self, device_id: str, window: Window, query: HistoryQuery
    ) -> tuple[Readings, Window, tuple[Rows, Window]]:
        """Where to read, the window up to the first reading beyond the limit, and its first step.

        Raises ApiError 404.
        """
        device = {"id": device_id}
        async with self._database.connection() as connection, connection.transaction():
            await connection.execute(ONE_SNAPSHOT)
            known = await (await connection.execute(self._sql["is_known"], device)).fetchone()
            if known is None or not known["known"]:
                raise not_found(self._word, device_id)
            found = query.corrected and await connection.execute(self._sql["is_corrected"], device)
            corrected = bool(found and await found.fetchone() is not None)
            readings = Readings(self._stream, device_id, corrected=corrected)
            if query.limit is not None:
                window = await readings.page(connection, window, query.limit)
            return readings, window, await readings.step(connection, window)

    async def _steps(self, readings: Readings, rows: Rows, rest: Window) -> AsyncIterator[Rows]:
        """The rows of all steps; `rows` are those of the first, and `rest` is what is left."""
        while True:
            if rows:
                yield rows
            if rest.start >= rest.end:
                return
            rows, rest = await in_time(self._step(readings, rest))

    async def _step(self, readings: Readings, window: Window) -> tuple[Rows, Window]:
        async with self._database.connection() as connection:
            return await readings.step(connection, window)


async def _json(steps: AsyncIterator[Rows], optional: Collection[str]) -> AsyncIterator[bytes]:
    """Readings as they were sent: an optional value that was not sent is left out."""
    before = b"["
    async for rows in steps:
        if optional:
            rows = [_without(row, optional) for row in rows]
        yield before + orjson.dumps(rows, option=orjson.OPT_UTC_Z)[1:-1]
        before = b","
    yield b"[]" if before == b"[" else b"]"


def _csv_header(columns: Sequence[str]) -> str:
    return ",".join(columns) + "\n"


async def _csv(steps: AsyncIterator[Rows], columns: Sequence[str]) -> AsyncIterator[bytes]:
    yield _csv_header(columns).encode()
    async for rows in steps:
        text = io.StringIO()
        lines = csv.writer(text, lineterminator="\n")
        lines.writerows((*values, _iso(time)) for *values, time in map(dict.values, rows))
        yield text.getvalue().encode()


async def _for_spreadsheets(steps: AsyncIterator[Rows]) -> AsyncIterator[Rows]:
    """The rows, where no text is a formula. Texts come from clients, as the device's id does."""
    async for rows in steps:
        yield [{name: _defused(value) for name, value in row.items()} for row in rows]


def _defused(value: Any) -> Any:
    return (
        f"'{value}" if isinstance(value, str) and value.startswith(RUN_BY_SPREADSHEETS) else value
    )


def _without(row: dict[str, Any], optional: Collection[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None or name not in optional}


def _iso(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat() + "Z"
