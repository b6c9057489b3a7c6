"""A vehicle's figures: AC side against DC side in a window, and its newest reading.

PostgreSQL makes exact sums by hour from the readings themselves; `api.figures` makes the answer.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from psycopg import sql
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range
from starlette.requests import Request
from starlette.responses import Response

from api.database import Connection, Database
from api.figures import Figures, Row, hour, mean, rounded, rounded_ratio
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id, path_session_id
from api.http.responses import JsonResponse
from schemas.analytics import (
    AnalyticsLimits,
    Hour,
    Performance,
    Period,
    Realtime,
    SessionFigures,
    Window,
    WindowQuery,
)
from schemas.fields import device_id_of, utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams import VEHICLE
from sql.named import load

SQL = load("analytics")
SESSIONS = load("sessions")


class Analytics:
    """The routes below /v1/analytics."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @allows(Access.READ)
    @answers(Performance, errors=(404,), path_id=device_id_of(VEHICLE))
    async def performance(self, request: Request, query: WindowQuery) -> Response:
        """A vehicle's efficiency in a window, hour by hour; 404 for an unknown vehicle."""
        vehicle_id = path_device_id(request, "Vehicle")
        window = asked_window(query, utc_now())
        async with self._database.connection() as connection:
            found = await sums(connection, self._settings, vehicle_id, window)
        if not found.known:
            raise not_found("Vehicle", vehicle_id)
        return JsonResponse(performance(vehicle_id, window, found))

    @allows(Access.READ)
    @answers(AnalyticsLimits, waits=False)
    async def limits(self, request: Request) -> Response:
        """The limits by which figures are judged, and the longest window there is."""
        return JsonResponse(AnalyticsLimits())

    @allows(Access.READ)
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
            found = await sums(connection, self._settings, vehicle_id, window)
            parameters = {"vehicle_id": vehicle_id, **window._asdict()}
            soc = await (await connection.execute(SQL["soc"], parameters)).fetchone()
        return JsonResponse(session_figures(session | (soc or {}), window, found))

    @allows(Access.READ)
    @answers(Realtime, errors=(404,), path_id=device_id_of(VEHICLE))
    async def realtime(self, request: Request) -> Response:
        """A vehicle's newest values, null before its first reading, and whether it is charging."""
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


class Sums(NamedTuple):
    """A vehicle's sums in a window."""

    known: bool
    """Whether the vehicle is registered or was ever read."""
    sessions: int
    in_sessions: timedelta
    """The time it spent in sessions in the window."""
    rows: list[Row]
    """Rows in any order; an hour may have several: for AC, and for DC in and out of sessions."""

    def hours(self) -> list[Hour]:
        """The figures of each hour that has readings, in order."""
        by_hour: dict[datetime, list[Row]] = {}
        for row in self.rows:
            by_hour.setdefault(row["hour"], []).append(row)
        return [hour(start, by_hour[start]) for start in sorted(by_hour)]

    def figures(self) -> Figures:
        """The figures of the whole window."""
        minutes = self.in_sessions // timedelta(minutes=1)
        return Figures(self.rows, sessions=self.sessions, session_minutes=minutes)


async def sums(connection: Connection, settings: Settings, vehicle_id: str, window: Window) -> Sums:
    """Sum a vehicle's readings, each side by the statement for its interval or register mode."""
    parameters = {
        "vehicle_id": vehicle_id,
        "energy_reading": settings.energy_reading,
        **window.parameters(),
    }
    found = await (await connection.execute(SQL["vehicle"], parameters)).fetchall()
    sessions = [row for row in found if row["meter_id"] is not None]
    query, more = summing(found[0]["vehicle_mode"], sessions)
    return Sums(
        known=found[0]["known"],
        sessions=len(sessions),
        in_sessions=sum((row["past"] - row["start"] for row in sessions), timedelta()),
        rows=await (await connection.execute(query, parameters | more)).fetchall(),
    )


def summing(vehicle_mode: str, sessions: list[Row]) -> tuple[sql.Composed, dict[str, Any]]:
    """The query for a vehicle's sums in these sessions and outside of them; its parameters."""
    meter_modes = [row["meter_mode"] for row in sessions]
    selects = [f"dc_{vehicle_mode}", *sorted({f"ac_{mode}" for mode in meter_modes})]
    return sql.SQL(" UNION ALL ").join(sql.SQL("({})").format(SQL[name]) for name in selects), {
        "meter_ids": [row["meter_id"] for row in sessions],
        "meter_modes": meter_modes,
        "starts": [row["start"] for row in sessions],
        "pasts": [row["past"] for row in sessions],
        "charging": Multirange(Range(row["start"], row["past"]) for row in sessions),
    }


def performance(vehicle_id: str, window: Window, found: Sums) -> Performance:
    """The answer made of a vehicle's sums."""
    figures = found.figures()
    return Performance(
        vehicle_id=vehicle_id,
        period=Period(start=window.start, end=window.end),
        metrics=figures.metrics(),
        hourly_breakdown=found.hours(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )


def session_figures(session: Row, window: Window, found: Sums) -> SessionFigures:
    """The answer made of a session's row with its states of charge, and of its vehicle's sums."""
    figures = found.figures()
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
