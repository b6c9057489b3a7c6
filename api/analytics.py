"""A vehicle's figures: AC side against DC side over a window, and what it is doing now.

PostgreSQL sums exactly, hour by hour, from the readings themselves; `api.figures` makes the answer.
"""

from datetime import timedelta
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.answers import JsonResponse
from api.database import Connection, Database
from api.endpoint import answers
from api.errors import invalid_field, not_found
from api.figures import Figures, Row, hour, mean, rounded, rounded_ratio
from api.inputs import path_device_id, path_session_id
from schemas.analytics import Performance, Period, Realtime, SessionFigures, Window, WindowQuery
from schemas.fields import VehicleId, utc_now
from schemas.settings import Settings
from sql.named import load

SQL = load("analytics")
SESSIONS = load("sessions")


class Analytics:
    """The routes below /v1/analytics."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @answers(Performance, errors=(404,), path_id=VehicleId)
    async def performance(self, request: Request, query: WindowQuery) -> Response:
        """A vehicle's efficiency in a window, hour by hour; 404 for one nobody ever heard of."""
        vehicle_id = path_device_id(request, "Vehicle")
        try:
            window = query.window(utc_now())
        except ValueError as error:
            raise invalid_field("startTime", str(error)) from None
        async with self._database.connection() as connection:
            rows = await sums(connection, self._settings, vehicle_id, window)
        if not rows[0]["known"]:
            raise not_found("Vehicle", vehicle_id)
        return JsonResponse(performance(vehicle_id, window, rows))

    @answers(SessionFigures, errors=(404,), path_id=UUID)
    async def session(self, request: Request) -> Response:
        """A charging session's energy, efficiency and states of charge."""
        session_id = path_session_id(request)
        async with self._database.connection() as connection:
            cursor = await connection.execute(SESSIONS["one"], {"session_id": session_id})
            session = await cursor.fetchone()
            if session is None:
                raise not_found("Session", str(session_id))
            end = session["ended_at"] or max(session["started_at"], utc_now())
            window = Window(session["started_at"], end)
            vehicle_id = session["vehicle_id"]
            rows = await sums(connection, self._settings, vehicle_id, window)
            parameters = {"vehicle_id": vehicle_id, **window._asdict()}
            soc = await (await connection.execute(SQL["soc"], parameters)).fetchone()
        return JsonResponse(session_figures(session | (soc or {}), window, rows))

    @answers(Realtime, errors=(404,), path_id=VehicleId)
    async def realtime(self, request: Request) -> Response:
        """A vehicle as it was last heard of; nulls while it has been silent."""
        vehicle_id = path_device_id(request, "Vehicle")
        parameters = {"vehicle_id": vehicle_id}
        async with self._database.connection() as connection:
            row = await (await connection.execute(SQL["realtime"], parameters)).fetchone()
        if row is None or not row["known"]:
            raise not_found("Vehicle", vehicle_id)
        now = Realtime(
            vehicle_id=vehicle_id,
            current_soc=row["soc"],
            current_battery_temp=row["battery_temp"],
            last_updated=row["timestamp"],
            is_charging=row["is_charging"],
        )
        return JsonResponse(now)


async def sums(
    connection: Connection, settings: Settings, vehicle_id: str, window: Window
) -> list[Row]:
    """A vehicle's sums by hour: at least one row, with a null hour when there are no readings."""
    parameters = {
        "vehicle_id": vehicle_id,
        "energy_reading": settings.energy_reading,
        "base_start": window.base_start,
        **window._asdict(),
    }
    return await (await connection.execute(SQL["performance"], parameters)).fetchall()


def performance(vehicle_id: str, window: Window, rows: list[Row]) -> Performance:
    """The answer made of the rows of `sums`."""
    figures = _of_whole(rows)
    return Performance(
        vehicle_id=vehicle_id,
        period=Period(start=window.start, end=window.end),
        metrics=figures.metrics(),
        hourly_breakdown=[hour(row) for row in rows if row["hour"] is not None],
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )


def session_figures(session: Row, window: Window, rows: list[Row]) -> SessionFigures:
    """The answer made of a session's row with its states of charge, and of the rows of `sums`."""
    figures = _of_whole(rows)
    return SessionFigures(
        **session,
        period=Period(start=window.start, end=window.end),
        duration_minutes=round((window.end - window.start) / timedelta(minutes=1), 3),
        energy_ac=rounded(figures.energy_ac, 3),
        energy_dc=rounded(figures.energy_dc, 3),
        efficiency=rounded_ratio(figures.energy_dc, figures.energy_ac),
        avg_temp=mean(figures.temp_sum, figures.readings),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )


def _of_whole(rows: list[Row]) -> Figures:
    hours = [row for row in rows if row["hour"] is not None]
    whole = rows[0]
    return Figures(hours, sessions=whole["sessions"], session_seconds=whole["session_seconds"])
