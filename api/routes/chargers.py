"""The figures of chargers, from the rollups: all of them, the worst first, and one of them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.around import fetched
from api.database import Database
from api.figures import ZERO, Figures, Row, rounded, rounded_ratio
from api.grouped import SQL, Grouped, grouped, of_rollups, snapshot
from api.http.beside import beside
from api.http.endpoint import allows, answers
from api.http.errors import not_found
from api.http.inputs import asked_window, path_device_id
from api.http.responses import JsonResponse
from schemas.analytics import LOW_EFFICIENCY, Period, Window
from schemas.chargers import (
    Charger,
    ChargerEfficiency,
    ChargerGroup,
    ChargerMetrics,
    ChargerQuery,
    Chargers,
    ChargerVehicle,
    Elsewhere,
)
from schemas.fields import device_id_of, utc_now
from schemas.fleet import AlertCounts, RankedQuery
from schemas.keys import Access
from schemas.settings import Settings
from schemas.streams import METER
from sql.named import load

ROW_BYTES = 100
"""Of a charger's or a group's sums: many are worked on beside the loop."""
FLEET = load("fleet")
NOWHERE: Row = {"energy_ac": ZERO, "energy_dc": ZERO, "chargers": 0}


class ChargerAnalytics:
    """The routes below /v1/analytics/meters that are about both sides."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    @allows(Access.READ)
    @answers(Chargers)
    async def chargers(self, request: Request, query: RankedQuery) -> Response:
        """All chargers, the worst efficiency first; the window is widened to hours."""
        now = utc_now()
        window = asked_window(query, now)
        parameters = of_rollups(self._settings, window, now, None) | query.parameters()
        async with self._database.connection() as connection:
            rows = await fetched(connection, FLEET["chargers"], parameters)
        return JsonResponse(await beside(len(rows) * ROW_BYTES, chargers, window, rows))

    @allows(Access.READ)
    @answers(ChargerEfficiency, errors=(404,), path_id=device_id_of(METER))
    async def efficiency(self, request: Request, query: ChargerQuery) -> Response:
        """A charger's efficiency, that of each vehicle on it, and in time; 404 for an unknown one.

        Is it the charger, or the vehicle? What each vehicle's was `elsewhere` tells.
        """
        meter_id = path_device_id(request, "Meter")
        now = utc_now()
        window = asked_window(query, now)
        parameters = of_rollups(self._settings, window, now, query.group_by)
        parameters |= {"meter_id": meter_id, "vehicle_id": None}
        async with snapshot(self._database) as connection:
            (charger,) = await fetched(connection, SQL["charger"], parameters)
            if not charger["known"]:
                raise not_found("Meter", meter_id)
            found = await grouped(connection, "charger_groups", parameters)
            cars = {"vehicle_ids": [row["car"] for row in found.vehicles]}
            elsewhere = await fetched(connection, SQL["elsewhere"], parameters | cars)
        size = (len(found.groups) + len(found.vehicles)) * ROW_BYTES
        about: Row = charger | {"meter_id": meter_id}
        return JsonResponse(await beside(size, efficiency, window, about, found, elsewhere))


def chargers(window: Window, rows: list[Row]) -> Chargers:
    """The answer made of rows: each is a charger, if there is one, and has the counts of all."""
    counts = rows[0]
    certain = {name: counts[f"certain_{name}"] for name in AlertCounts.model_fields}
    return Chargers(
        period=Period(start=window.start, end=window.end),
        as_of=counts["as_of"],
        being_redone=counts["being_redone"],
        meter_count=counts["devices"],
        alert_counts=AlertCounts.model_validate(counts),
        certain_alert_counts=AlertCounts.model_validate(certain),
        meters=[
            Charger(meter_id=row["meter_id"], location=row["location"], **_parts(row))
            for row in rows
            if row["meter_id"] is not None
        ],
    )


def efficiency(
    window: Window, charger: Row, found: Grouped, elsewhere: list[Row]
) -> ChargerEfficiency:
    """The answer made of the sums of one charger."""
    others = {row["vehicle_id"]: row for row in elsewhere}
    return ChargerEfficiency(
        meter_id=charger["meter_id"],
        location=charger["location"],
        period=Period(start=window.start, end=window.end),
        as_of=charger["as_of"],
        being_redone=charger["being_redone"],
        **_parts(found.whole),
        vehicles=[
            ChargerVehicle(
                vehicle_id=row["car"],
                **_parts(row),
                elsewhere=_elsewhere(others.get(row["car"], NOWHERE)),
            )
            for row in sorted(found.vehicles, key=_rank)
        ],
        groups=[
            ChargerGroup(start=group.start, end=group.end, **_parts(row))
            for group, row in found.groups
        ],
    )


def _parts(row: Row) -> dict[str, Any]:
    """What every answer says of a charger's sums."""
    figures = Figures.of_rollups(row)
    metrics = ChargerMetrics(
        total_energy_consumed_ac=rounded(figures.ac.energy, 3),
        total_energy_delivered_dc=rounded(figures.dc.energy, 3),
        efficiency_ratio=rounded_ratio(figures.dc.energy, figures.ac.energy),
        charging_sessions=figures.sessions,
        vehicles=row["vehicles"],
    )
    return {
        "metrics": metrics,
        "coverage": figures.session_coverage(),
        "alerts": figures.alerts(),
    }


def _rank(row: Row) -> tuple[Any, ...]:
    """The worst first, as the fleet's vehicles are ranked."""
    figures = Figures.of_rollups(row)
    if figures.quality == "none" or figures.ratio is None:
        return 4, 0, row["car"]
    low = figures.ratio < LOW_EFFICIENCY
    certain = figures.quality == "complete"
    return (1 if low and certain else 2 if low else 3), figures.ratio, row["car"]


def _elsewhere(row: Row) -> Elsewhere:
    return Elsewhere(
        efficiency_ratio=rounded_ratio(row["energy_dc"], row["energy_ac"]),
        energy_ac=rounded(row["energy_ac"], 3),
        chargers=row["chargers"],
    )
