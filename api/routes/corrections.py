"""Corrections of readings: to make, list and undo them; `docs/corrections.md` says what they do.

Nothing that was sent is overwritten. One transaction changes a device's corrections at a time.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb
from starlette.requests import Request
from starlette.responses import Response

from api import correcting
from api.corrected_devices import (
    MAX_MEETING,
    CorrectedDevice,
    Stretch,
    TooManyMeetError,
    Turn,
)
from api.database import Connection, Database
from api.http.beside import beside
from api.http.bodies import MAX_INGEST_BYTES
from api.http.callers import name_of_caller
from api.http.endpoint import allows, answers
from api.http.errors import conflict, invalid, invalid_field, not_found
from api.http.inputs import path_uuid
from api.http.responses import JsonResponse, next_page
from schemas.corrections import (
    MAX_READINGS,
    Correction,
    CorrectionPage,
    NewCorrection,
    StoredReadings,
    given_readings,
)
from schemas.errors import Taken
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.times import format_micros, to_micros
from sql.named import load, load_for

SQL = load("corrections")
WHAT = "Correction"
BYTES_A_READING = 100
EVER = -(2**62)


class Corrections:
    """The routes below /v1/corrections."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @allows(Access.OPERATE)
    @answers(
        Correction,
        201,
        errors=(404, 409),
        headers=("Location",),
        max_body_bytes=MAX_INGEST_BYTES,
    )
    async def create(self, request: Request, body: NewCorrection) -> Response:
        """Correct a device's readings; 409 onto an instant that is taken. Figures change."""
        limits = self._settings.clock_limits(utc_now())
        size = BYTES_A_READING * len(body.readings or ())
        readings, problems = await beside(size, given_readings, body, limits)
        if problems:
            raise invalid(problems)
        async with self._database.connection() as connection, connection.transaction():
            known = load_for(body.stream)["is_known"]
            row = await (await connection.execute(known, {"id": body.device_id})).fetchone()
            if not row or not row["known"]:
                raise not_found(body.stream_type.capitalize(), body.device_id)
            device = CorrectedDevice(connection, body.stream, body.device_id)
            others = await device.in_force()
            made = await self._insert(connection, body, readings, name_of_caller(request))
            window = (to_micros(body.start_time), to_micros(body.end_time))
            one = correcting.Correction(made["number"], *window, body.action, body.shift_us)
            try:
                turn = await device.turned(one, others)
            except TooManyMeetError:
                raise conflict(f"{MAX_MEETING:,} corrections have to do with these times") from None
            await self._check_kept(device, turn, window)
            if body.action == "shift":
                await self._check_times(device, turn)
            await _write(device, turn, "readings" if body.shift_us is None else "shiftSeconds")
        made_so = await beside(size, Correction.of_row, made)
        headers = {"Location": f"/v1/corrections/{made_so.correction_id}"}
        return JsonResponse(made_so, 201, headers)

    @allows(Access.READ)
    @answers(list[Correction], headers=("Link",))
    async def page(self, request: Request, query: CorrectionPage) -> Response:
        """Corrections in force, oldest first; fewer than `limit` where they have many readings."""
        parameters = query.model_dump() | {"limit": query.limit + 1, "most_readings": MAX_READINGS}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["page"], parameters)).fetchall()
        shown = [row for row in rows[: query.limit] if row["before"] < MAX_READINGS]
        more = len(rows) > len(shown)
        found = [Correction.of_row(row) for row in shown]
        headers = next_page(request, after=shown[-1]["number"]) if more else None
        return JsonResponse(found, headers=headers)

    @allows(Access.READ)
    @answers(Correction, errors=(404,), path_id=UUID)
    async def one(self, request: Request) -> Response:
        """A correction, whether in force or undone."""
        correction_id = path_uuid(request, "id", WHAT)
        async with self._database.connection() as connection:
            row = await self._row(connection, correction_id)
        return JsonResponse(Correction.of_row(row))

    @allows(Access.OPERATE)
    @answers(None, 204, errors=(404, 409), path_id=UUID)
    async def undo(self, request: Request) -> Response:
        """Have readings as if it had never been made; 409 when two would come to one instant."""
        correction_id = path_uuid(request, "id", WHAT)
        who = {"correction_id": correction_id, "undone_by": name_of_caller(request)}
        async with self._database.connection() as connection, connection.transaction():
            row = await self._row(connection, correction_id)
            device = CorrectedDevice(connection, STREAMS[row["stream_type"]], row["device_id"])
            in_force = await device.in_force()
            if await (await connection.execute(SQL["undo"], who)).fetchone() is None:
                raise not_found(WHAT, str(correction_id))
            (one,) = (c for c in in_force if c.number == row["number"])
            others = [c for c in in_force if c is not one]
            await _write(device, await device.turned(one, others, undone=True), "correctionId")
        return Response(status_code=204)

    async def _insert(
        self,
        connection: Connection,
        new: NewCorrection,
        readings: StoredReadings | None,
        made_by: str,
    ) -> dict[str, Any]:
        values = {
            "stream": new.stream_type,
            "device": new.device_id,
            "first": new.start_time,
            "past": new.end_time,
            "action": new.action,
            "shift_us": new.shift_us,
            "readings": None if readings is None else Jsonb(readings),
            "reason": new.reason,
            "made_by": made_by,
        }
        row = await (await connection.execute(SQL["create"], values)).fetchone()
        assert row is not None
        return row

    async def _row(self, connection: Connection, correction_id: UUID) -> dict[str, Any]:
        parameters = {"correction_id": correction_id}
        row = await (await connection.execute(SQL["one"], parameters)).fetchone()
        if row is None:
            raise not_found(WHAT, str(correction_id))
        return row

    async def _check_kept(self, device: CorrectedDevice, turn: Turn, window: Stretch) -> None:
        """Raise ApiError 400 where readings are gone, whose sums stay as they are."""
        if day := await device.retired([window, *turn.touched]):
            raise invalid_field("startTime", f"the readings of {day} are gone, its sums stay")

    async def _check_times(self, device: CorrectedDevice, turn: Turn) -> None:
        """Raise ApiError 400 for a shift to where a reading cannot be."""
        now = utc_now()
        oldest, newest = EVER, self._settings.clock_limits(now).newest
        if days := self._settings.retention_days:
            oldest = to_micros(now - timedelta(days=days))
        if at := await device.untimely(turn, oldest, newest):
            side = "before what is kept" if to_micros(at) < oldest else "in the future"
            raise invalid_field("shiftSeconds", f"a reading would come to {iso(at)}, {side}")


async def _write(device: CorrectedDevice, turn: Turn, field: str) -> None:
    """Raises ApiError 409 that names the field, and an instant that is taken."""
    if at := await device.taken(turn):
        details = [Taken(field=field, timestamp=at)]
        raise conflict(f"Two readings would be at {iso(at)}", details)
    await device.write(turn)


def iso(time: datetime) -> str:
    """A time as readings have it."""
    return format_micros(to_micros(time))
