"""The whole fleet's figures from the rollups by hour, and a single meter's from its readings."""

from collections.abc import Iterator
from decimal import Decimal

from starlette.requests import Request
from starlette.responses import Response

from api.around import bounds, fetched, gather, gathered, rows_around
from api.database import Connection, Database
from api.figures import EXACT, FLAGS, Figures, Row, Side, implausible_message, rounded, total
from api.grouped import grouped, in_groups, of_rollups, snapshot
from api.http.beside import beside
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id
from api.http.responses import JsonResponse
from api.paces import Pace, mismatches
from schemas.analytics import Alert, GroupBy, Period, Window
from schemas.fields import utc_now
from schemas.fleet import (
    AlertCounts,
    FleetFigures,
    FleetGroup,
    FleetQuery,
    FleetVehicle,
    MeterCoverage,
    MeterFigures,
    MeterGroup,
    MeterHour,
    MeterMetrics,
    MeterQuery,
    MeterSession,
    UnjudgedCounts,
)
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams import METER
from sql.deployment import of_deployment
from sql.gathered import Span, statements
from sql.named import load

ROW_BYTES = 100
"""Of a vehicle's sums: a page of 1,000 vehicles is worked on beside the loop."""
FLEET = load("fleet")


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
        parameters = of_rollups(self._settings, window, now, None) | query.parameters()
        in_time = of_rollups(self._settings, window, now, query.group_by)
        in_time |= {"vehicle_id": None, "meter_id": None}
        groups = None
        opened = snapshot if query.group_by else Database.connection
        async with opened(self._database) as connection:
            rows = await (await connection.execute(FLEET["fleet"], parameters)).fetchall()
            if query.group_by:
                groups = (await grouped(connection, "fleet_groups", in_time)).groups
        size = (len(rows) + len(groups or [])) * ROW_BYTES
        return JsonResponse(await beside(size, fleet, window, rows, groups))

    @allows(Access.READ)
    @answers(MeterFigures, errors=(404,))
    async def meter(self, request: Request, query: MeterQuery) -> Response:
        """A meter's energy by hour, day or month, and the sessions on it."""
        meter_id = path_device_id(request, "Meter")
        window = asked_window(query, utc_now())
        async with self._database.connection() as connection:
            found = await read_meter(connection, self._settings, meter_id, window)
        return JsonResponse(meter(meter_id, window, query.group_by, *found))


def fleet(window: Window, rows: list[Row], groups: list[tuple[Window, Row]] | None) -> FleetFigures:
    """The answer made of rows: the first one is about the whole fleet, each other a vehicle."""
    whole, *vehicles = rows
    figures = Figures.of_rollups(whole)
    certain = {name: whole[f"certain_{name}"] for name in AlertCounts.model_fields}
    return FleetFigures(
        period=Period(start=window.start, end=window.end),
        as_of=whole["as_of"],
        being_redone=whole["being_redone"],
        metrics=figures.metrics(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
        vehicle_count=whole["devices"],
        alert_counts=AlertCounts.model_validate(whole),
        certain_alert_counts=AlertCounts.model_validate(certain),
        unjudged_counts=UnjudgedCounts.model_validate(whole),
        vehicles=[_vehicle(row) for row in vehicles],
        groups=None if groups is None else [_group(*group) for group in groups],
    )


def _group(window: Window, row: Row) -> FleetGroup:
    figures = Figures.of_rollups(row)
    return FleetGroup(
        start=window.start,
        end=window.end,
        metrics=figures.metrics(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )


async def read_meter(
    connection: Connection, settings: Settings, meter_id: str, window: Window
) -> tuple[Row, list[Row], list[Row]]:
    """The meter, the rows of the query `meter`, and its sessions; 404 for an unknown meter."""
    queries = statements(connection, "meter")
    parameters = {
        "meter_id": meter_id,
        "now": utc_now(),
        **of_deployment(settings),
        **window.parameters(),
    }
    skew_s = settings.max_clock_skew_seconds
    spans = {METER: [Span(meter_id, window.start, window.end)]}
    async with gathered(connection):
        found = await rows_around(connection, queries["device"], parameters, skew_s, spans)
        (device,) = found
        if not device["known"]:
            raise not_found("Meter", meter_id)
        parameters |= bounds(window, [device], "")
        await gather(connection, spans, parameters, before=0, after=0)
        rows = await fetched(connection, queries["meter"], parameters)
        cursor = await connection.execute(queries["meter_sessions"], parameters)
        sessions = await cursor.fetchall()
    return device, rows, sessions


def meter(
    meter_id: str,
    window: Window,
    by: GroupBy | None,
    device: Row,
    rows: list[Row],
    sessions: list[Row],
) -> MeterFigures:
    """The answer made of `rows`, as the query `meter` gives them, and of the sessions."""
    shares = [row for row in rows if row["side"] == "share" and row["hour"] is not None]
    whole = [row for row in rows if row["hour"] is None]
    read = [row for row in rows if row["side"] == "read"]
    outside = [row for row in shares if row["session_id"] is None]
    energy, energy_outside = total(shares, "energy"), total(outside, "energy")
    flags = {flag: int(total(whole, flag)) for flag in FLAGS}
    gaps = next(row for row in whole if row["gaps"] is not None)
    pace = Pace("AC", gaps["gap"], gaps["gaps"], device["pace_s"])
    inside = Side(EXACT.subtract(energy, energy_outside), total(shares, "estimated"))
    return MeterFigures(
        meter_id=meter_id,
        period=Period(start=window.start, end=window.end),
        metrics=MeterMetrics(
            total_energy_consumed_ac=rounded(energy, 3),
            energy_in_sessions=rounded(inside.energy, 3),
            energy_outside_sessions=rounded(energy_outside, 3),
            charging_sessions=len(sessions),
            reading_count=_readings(read),
            counter_resets=flags["counter_resets"],
        ),
        hourly_breakdown=[] if by in ("day", "month") else list(_hours(shares, read)),
        groups=list(_groups(window, by, [*shares, *read])) if by else None,
        sessions=[_session(row, shares) for row in sessions],
        coverage=MeterCoverage(
            estimated_ac=rounded(inside.estimated, 3),
            dips=flags["dips"],
            spikes=flags["spikes"],
            implausible_readings=flags["implausible"],
            rejected_readings=device["rejected"],
            corrected_readings=device["corrected"],
            observed_seconds=pace.shown,
        ),
        alerts=list(_meter_alerts(inside, flags["implausible"], device["rejected"], pace)),
    )


def _meter_alerts(inside: Side, implausible: int, rejected: int, pace: Pace) -> Iterator[Alert]:
    """A meter's alerts: there are no sides to compare."""
    found = [("implausible_energy", implausible_message(implausible))] if implausible else []
    doubts = [*inside.doubts("the energy in sessions", Decimal())]
    doubts += [f"implausible readings: {implausible:,}"] if implausible else []
    doubts += [f"rejected readings: {rejected:,}"] if rejected else []
    why = "; ".join(doubts) or None
    for code, message in (*found, *mismatches([pace])):
        yield Alert.model_validate(
            {"code": code, "message": message, "certain": why is None, "why": why}
        )


def _hours(shares: list[Row], read: list[Row]) -> Iterator[MeterHour]:
    for hour in sorted({row["hour"] for row in (*shares, *read)}):
        yield MeterHour(
            hour=hour,
            energy_ac=_energy([row for row in shares if row["hour"] == hour]),
            readings=_readings([row for row in read if row["hour"] == hour]),
        )


def _groups(window: Window, by: GroupBy, rows: list[Row]) -> Iterator[MeterGroup]:
    for group, of_group in in_groups(window, by, rows):
        shares = [row for row in of_group if row["side"] == "share"]
        yield MeterGroup(
            start=group.start,
            end=group.end,
            energy_ac=_energy(shares),
            energy_in_sessions=_energy([row for row in shares if row["session_id"] is not None]),
            readings=_readings([row for row in of_group if row["side"] == "read"]),
        )


def _session(session: Row, shares: list[Row]) -> MeterSession:
    rows = [row for row in shares if row["session_id"] == session["session_id"]]
    return MeterSession(**session, energy_ac=_energy(rows), ac_readings=_readings(rows))


def _energy(rows: list[Row]) -> float:
    return rounded(total(rows, "energy"), 3)


def _readings(rows: list[Row]) -> int:
    return int(total(rows, "readings"))


def _vehicle(row: Row) -> FleetVehicle:
    figures = Figures.of_rollups(row)
    return FleetVehicle(
        vehicle_id=row["vehicle_id"],
        metrics=figures.metrics(),
        coverage=figures.coverage(),
        alerts=figures.alerts(),
    )
