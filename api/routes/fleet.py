"""The whole fleet's figures from the rollups by hour, and a single meter's from its readings."""

from datetime import datetime
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.figures import EXACT, Figures, Row, rounded, total
from api.http.beside import beside
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id
from api.http.responses import JsonResponse
from schemas.analytics import IMPOSSIBLE_EFFICIENCY, LOW_EFFICIENCY, Period, Window, WindowQuery
from schemas.fields import utc_now
from schemas.fleet import (
    AlertCounts,
    FleetFigures,
    FleetQuery,
    FleetVehicle,
    MeterFigures,
    MeterHour,
    MeterMetrics,
    MeterSession,
    UnjudgedCounts,
)
from schemas.keys import Access
from schemas.settings import Settings
from sql.named import load

ROW_BYTES = 100
"""Of a vehicle's sums: a page of 1,000 vehicles is worked on beside the loop."""
FLEET = load("fleet")
SQL = load("meter")


class FleetAnalytics:
    """The routes below /v1/analytics that are about more than one vehicle."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @allows(Access.READ)
    @answers(FleetFigures)
    async def fleet(self, request: Request, query: FleetQuery) -> Response:
        """All vehicles' charging, the worst efficiency first; the window is widened to hours."""
        now = utc_now()
        window = asked_window(query, now)
        days = window.whole_days()
        parameters = {
            "now": now,
            "first_day": days.start,
            "past_day": days.end,
            "low": LOW_EFFICIENCY,
            "impossible": IMPOSSIBLE_EFFICIENCY,
            "limit": query.limit,
            "alert": query.alert,
            "energy_reading": self._settings.energy_reading,
            **window._asdict(),
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(FLEET["fleet"], parameters)).fetchall()
        return JsonResponse(await beside(len(rows) * ROW_BYTES, fleet, window, rows))

    @allows(Access.READ)
    @answers(MeterFigures, errors=(404,))
    async def meter(self, request: Request, query: WindowQuery) -> Response:
        """A meter's energy by hour, and the sessions on it."""
        meter_id = path_device_id(request, "Meter")
        window = asked_window(query, utc_now())
        parameters = {
            "meter_id": meter_id,
            "energy_reading": self._settings.energy_reading,
            **window.parameters(),
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["meter"], parameters)).fetchall()
            if not rows[0]["known"]:
                raise not_found("Meter", meter_id)
            cursor = await connection.execute(SQL["meter_sessions"], parameters)
            sessions = await cursor.fetchall()
        return JsonResponse(meter(meter_id, window, rows, sessions))


def fleet(window: Window, rows: list[Row]) -> FleetFigures:
    """The answer made of rows: the first one is about the whole fleet, each other a vehicle."""
    whole, *vehicles = rows
    figures = _figures(whole)
    return FleetFigures(
        period=Period(start=window.start, end=window.end),
        as_of=whole["as_of"],
        being_redone=whole["being_redone"],
        metrics=figures.metrics(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
        vehicle_count=whole["vehicles"],
        alert_counts=AlertCounts.model_validate(whole),
        unjudged_counts=UnjudgedCounts.model_validate(whole),
        vehicles=[_vehicle(row) for row in vehicles],
    )


def meter(meter_id: str, window: Window, rows: list[Row], sessions: list[Row]) -> MeterFigures:
    """The answer made of `rows`, one for each hour and session, and of the sessions themselves."""
    read = [row for row in rows if row["hour"] is not None]
    by_hour: dict[datetime, list[Row]] = {}
    by_session: dict[UUID | None, list[Row]] = {}
    for row in read:
        by_hour.setdefault(row["hour"], []).append(row)
        by_session.setdefault(row["session_id"], []).append(row)
    outside = by_session.pop(None, [])
    energy, energy_outside = total(read, "energy_ac"), total(outside, "energy_ac")
    energy_inside = EXACT.subtract(energy, energy_outside)
    return MeterFigures(
        meter_id=meter_id,
        period=Period(start=window.start, end=window.end),
        metrics=MeterMetrics(
            total_energy_consumed_ac=rounded(energy, 3),
            energy_in_sessions=rounded(energy_inside, 3),
            energy_outside_sessions=rounded(energy_outside, 3),
            charging_sessions=len(sessions),
            reading_count=int(total(read, "readings")),
            counter_resets=int(total(read, "counter_resets")),
        ),
        hourly_breakdown=[
            MeterHour(hour=hour, energy_ac=_energy(of_hour), readings=_readings(of_hour))
            for hour, of_hour in by_hour.items()
        ],
        sessions=[_session(row, by_session.get(row["session_id"], [])) for row in sessions],
    )


def _session(session: Row, rows: list[Row]) -> MeterSession:
    return MeterSession(**session, energy_ac=_energy(rows), ac_readings=_readings(rows))


def _energy(rows: list[Row]) -> float:
    return rounded(total(rows, "energy_ac"), 3)


def _readings(rows: list[Row]) -> int:
    return int(total(rows, "readings"))


def _vehicle(row: Row) -> FleetVehicle:
    figures = _figures(row)
    return FleetVehicle(
        vehicle_id=row["vehicle_id"],
        metrics=figures.metrics(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )


def _figures(row: Row) -> Figures:
    minutes = int(row["session_seconds"] // 60)
    return Figures([row], sessions=int(row["sessions"]), session_minutes=minutes)
