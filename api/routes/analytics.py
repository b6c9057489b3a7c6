"""A vehicle's figures: AC side against DC side in a window, and its newest reading.

PostgreSQL makes exact sums by hour from the readings themselves; `api.figures` makes the answer.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from api.around import bounds, fetched, rows_around
from api.database import Connection, Database
from api.figures import FLAGS, Figures, Row, Side, mean, rounded, rounded_ratio, total
from api.grouped import SQL as GROUPED
from api.grouped import Grouped, grouped, in_groups, of_rollups, snapshot
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id, path_session_id
from api.http.responses import JsonResponse
from api.paces import Pace, mismatches
from schemas.analytics import (
    MAX_WINDOW,
    STAMPED_PACE_S,
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
from sql.deployment import of_deployment
from sql.named import load

SQL = load("analytics")
PLAIN = load("plain")
SESSIONS = load("sessions")
MILLION = 1_000_000


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
    """What is known of a vehicle in a window."""

    known: bool
    """Whether the vehicle is registered or was ever read."""
    figures: Figures
    rows: list[Row]
    """By hour and side, as the query `sums` gives them."""
    paces: tuple[Pace, Pace]
    """Of its meters, and of itself."""


async def sums(connection: Connection, settings: Settings, vehicle_id: str, window: Window) -> Sums:
    """Sum what a vehicle and the meters of its sessions read."""
    now = utc_now()
    parameters = {
        "vehicle_id": vehicle_id,
        "now": now,
        **of_deployment(settings),
        **window.parameters(),
    }
    skew_s = settings.max_clock_skew_seconds
    found = await rows_around(connection, SQL["vehicle"], parameters, skew_s)
    sessions = [row for row in found if row["meter_id"] is not None]
    parameters |= bounds(window, found, "ac_", "dc_")
    parameters |= {
        "session_ids": [row["session_id"] for row in sessions],
        "meter_ids": [row["meter_id"] for row in sessions],
        "starts": [row["start"] for row in sessions],
        "pasts": [row["past"] for row in sessions],
    }
    rows = await _sums(connection, found, sessions, parameters)
    with_length = {"meter_ids": [row["meter_id"] for row in sessions if row["has_length"]]}
    cursor = await connection.execute(SQL["rejected"], parameters | with_length)
    beside = await cursor.fetchone() or {}
    return Sums(
        found[0]["known"],
        _figures(rows, sessions, found[0]["dc_pace_s"], now, beside),
        rows,
        _paces(rows, found),
    )


async def _sums(
    connection: Connection, found: list[Row], sessions: list[Row], parameters: dict[str, Any]
) -> list[Row]:
    """The rows of `sums`, made the short way where that holds."""
    if all(row["is_plain"] for row in found):
        plain = parameters | {
            "last_instants": [row["last_instant"] for row in sessions],
            "ac_bases": [row["ac_base"] for row in sessions],
            "dc_base": found[0]["dc_base"],
        }
        rows = await fetched(connection, PLAIN["plain_sums"], plain)
        if all(row["holds"] for row in rows):
            return rows
    return await fetched(connection, SQL["sums"], parameters)


def _figures(
    rows: list[Row], sessions: list[Row], dc_pace_s: int | None, now: datetime, beside: Row
) -> Figures:
    """`beside`: how many readings were rejected and corrected."""
    whole = [row for row in rows if row["hour"] is None]
    lengths = [max(timedelta(), min(row["past"], now) - row["start"]) for row in sessions]
    micros = [length // timedelta(microseconds=1) for length in lengths]
    paces = {"ac": [row["ac_pace_s"] for row in sessions], "dc": [dc_pace_s] * len(sessions)}

    def side(name: str) -> Side:
        of_side = [row for row in whole if row["side"] == name]
        return Side(
            energy=total(of_side, "energy"),
            estimated=total(of_side, "estimated"),
            readings=int(total(of_side, "readings")),
            expected=_expected(micros, paces[name]),
            seconds=total(of_side, "seconds"),
        )

    read = [row for row in rows if row["side"] == "read"]
    return Figures(
        ac=side("ac"),
        dc=side("dc"),
        sessions=sum(row["has_length"] for row in sessions),
        session_seconds=Decimal(sum(micros)) / MILLION,
        energy_outside=total(whole, "outside"),
        readings=int(total(read, "readings")),
        temps=int(total(read, "temps")),
        temp_sum=total(read, "temp_sum"),
        rejected=beside["rejected"],
        corrected=int(beside["corrected"]),
        **{flag: int(total(whole, flag)) for flag in FLAGS},
    )


def _expected(micros: list[int], paces: list[int | None]) -> int:
    """How many readings of these paces lie in sessions of such lengths."""
    each = [
        Fraction(n, MILLION * (s or STAMPED_PACE_S)) for n, s in zip(micros, paces, strict=True)
    ]
    return floor(sum(each, Fraction()))


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


def _paces(rows: list[Row], found: list[Row]) -> tuple[Pace, Pace]:
    """How often each side reported. Meters of several paces are judged by the slowest."""
    gaps = {row["side"]: row for row in rows if row["gaps"] is not None}
    ac, dc = (gaps.get(name, {"gap": None, "gaps": 0}) for name in ("ac", "dc"))
    ac_paces = [row["ac_pace_s"] for row in found if row["has_length"] and row["ac_pace_s"]]
    return (
        Pace("AC", ac["gap"], ac["gaps"], max(ac_paces, default=None)),
        Pace("DC", dc["gap"], dc["gaps"], found[0]["dc_pace_s"]),
    )


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
