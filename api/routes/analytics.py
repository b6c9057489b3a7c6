"""A vehicle's figures: AC side against DC side in a window, and its newest reading.

`api.vehicle_sums` has exact sums by hour, of readings; `api.figures` makes the answer of them.
Windows that hold too many readings are answered from the rollups.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.around import fetched, gathered
from api.database import Database
from api.figures import Figures, Row, mean, rounded, rounded_ratio, total
from api.grouped import SQL as GROUPED
from api.grouped import Grouped, grouped, in_groups, of_rollups, snapshot
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id, path_session_id
from api.http.responses import JsonResponse
from api.paces import mismatches
from api.vehicle_sums import Sums, sums
from schemas.analytics import (
    MAX_WINDOW,
    AnalyticsLimits,
    Group,
    GroupBy,
    Hour,
    ObservedCoverage,
    ObservedSeconds,
    Performance,
    PerformanceQuery,
    Period,
    Realtime,
    SessionFigures,
    Window,
)
from schemas.fields import device_id_of, utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams import VEHICLE
from sql.gathered import statements
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
    async def performance(self, request: Request, query: PerformanceQuery) -> Response:
        """A vehicle's efficiency in a window, by hour, day or month; 404 for an unknown vehicle."""
        vehicle_id = path_device_id(request, "Vehicle")
        window, by = asked_window(query, utc_now()), query.group_by
        if window.end - window.start > MAX_WINDOW:
            return JsonResponse(await self._long_performance(vehicle_id, window, by))
        async with self._database.connection() as connection:
            found = await sums(connection, self._settings, vehicle_id, window)
        if not found.known:
            raise not_found("Vehicle", vehicle_id)
        return JsonResponse(performance(vehicle_id, window, found, by))

    async def _long_performance(self, vehicle_id: str, window: Window, by: GroupBy) -> Performance:
        """That of a window which holds too many readings, from the rollups."""
        parameters = of_rollups(self._settings, window, utc_now(), by)
        parameters |= {"vehicle_id": vehicle_id, "meter_id": None}
        async with snapshot(self._database) as connection:
            (vehicle,) = await fetched(connection, GROUPED["vehicle"], parameters)
            if not vehicle["known"]:
                raise not_found("Vehicle", vehicle_id)
            found = await grouped(connection, "vehicle_groups", parameters)
        return long_performance(vehicle_id, window, vehicle["as_of"], found)

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
            parameters = {"vehicle_id": vehicle_id, **window._asdict()}
            statement = statements(connection, "analytics")["soc"]
            async with gathered(connection):
                found = await sums(connection, self._settings, vehicle_id, window)
                soc = await (await connection.execute(statement, parameters)).fetchone()
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


def hours(rows: list[Row]) -> Iterator[Hour]:
    """The figures of each hour that has a reading or an increment, in order."""
    by_hour: dict[datetime, dict[str, Row]] = {}
    for row in rows:
        if row["hour"] is not None:
            by_hour.setdefault(row["hour"], {})[row["side"]] = row
    for start, sides in sorted(by_hour.items()):
        ac, dc = (total([sides[name]] if name in sides else [], "energy") for name in ("ac", "dc"))
        read = [sides["read"]] if "read" in sides else []
        yield Hour(
            hour=start,
            **_both(ac, dc),
            avg_temp=mean(total(read, "temp_sum"), int(total(read, "temps"))),
        )


def _groups(window: Window, by: GroupBy, rows: list[Row]) -> Iterator[Group]:
    for group, of_group in in_groups(window, by, rows):
        sides = {name: [r for r in of_group if r["side"] == name] for name in ("ac", "dc", "read")}
        temps = int(total(sides["read"], "temps"))
        yield Group(
            start=group.start,
            end=group.end,
            **_both(total(sides["ac"], "energy"), total(sides["dc"], "energy")),
            avg_temp=mean(total(sides["read"], "temp_sum"), temps),
        )


def _both(ac: Decimal, dc: Decimal) -> dict[str, Any]:
    """What hours and groups say of both sides."""
    efficiency = rounded_ratio(dc, ac)
    return {"energy_ac": rounded(ac, 3), "energy_dc": rounded(dc, 3), "efficiency": efficiency}


def performance(vehicle_id: str, window: Window, found: Sums, by: GroupBy = "hour") -> Performance:
    """The answer made of a vehicle's sums."""
    figures = found.figures
    ac, dc = found.paces
    return Performance(
        vehicle_id=vehicle_id,
        period=Period(start=window.start, end=window.end),
        metrics=figures.metrics(),
        hourly_breakdown=list(hours(found.rows)) if by == "hour" else [],
        groups=None if by == "hour" else list(_groups(window, by, found.rows)),
        as_of=None,
        coverage=ObservedCoverage(
            **dict(figures.coverage()),
            observed_seconds=ObservedSeconds(ac=ac.shown, dc=dc.shown),
        ),
        alerts=figures.alerts(mismatches(found.paces)),
    )


def long_performance(
    vehicle_id: str, window: Window, as_of: datetime, found: Grouped
) -> Performance:
    """The answer made of rollups, which do not know how often the devices reported."""
    figures = Figures.of_rollups(found.whole)
    return Performance(
        vehicle_id=vehicle_id,
        period=Period(start=window.start, end=window.end),
        metrics=figures.metrics(),
        hourly_breakdown=[],
        groups=[
            Group(
                start=group.start,
                end=group.end,
                **_both(row["energy_ac"], row["energy_dc"]),
                avg_temp=mean(row["temp_sum"], int(row["temps"])),
            )
            for group, row in found.groups
        ],
        as_of=as_of,
        coverage=ObservedCoverage(
            **dict(figures.coverage()), observed_seconds=ObservedSeconds(ac=None, dc=None)
        ),
        alerts=figures.alerts(),
    )


def session_figures(session: Row, window: Window, found: Sums) -> SessionFigures:
    """The answer made of a session's row with its states of charge, and of its vehicle's sums."""
    figures = found.figures
    return SessionFigures(
        **session,
        period=Period(start=window.start, end=window.end),
        duration_minutes=round((window.end - window.start) / timedelta(minutes=1), 3),
        energy_ac=rounded(figures.ac.energy, 3),
        energy_dc=rounded(figures.dc.energy, 3),
        efficiency=rounded_ratio(figures.dc.energy, figures.ac.energy),
        avg_temp=mean(figures.temp_sum, figures.temps),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )
