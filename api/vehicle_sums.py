"""A vehicle's sums in a window, made by PostgreSQL from the readings of both sides, exactly."""

from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from api.around import bounds, fetched, gather, gathered, rows_around
from api.database import Connection
from api.figures import FLAGS, Figures, Row, Side, total
from api.paces import Pace
from schemas.analytics import STAMPED_PACE_S, Window
from schemas.fields import utc_now
from schemas.settings import Settings
from schemas.streams import METER, VEHICLE
from sql.citus import has_citus
from sql.deployment import of_deployment
from sql.gathered import Span, Spans, statements

MILLION = 1_000_000


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
    """Sum what a vehicle and the meters of its sessions read.

    On a cluster, in a transaction that goes on, what was gathered can be read after it as well.
    """
    async with gathered(connection):
        return await _summed(connection, settings, vehicle_id, window)


async def _summed(
    connection: Connection, settings: Settings, vehicle_id: str, window: Window
) -> Sums:
    queries = statements(connection, "analytics")
    now = utc_now()
    parameters = {
        "vehicle_id": vehicle_id,
        "now": now,
        **of_deployment(settings),
        **window.parameters(),
    }
    skew_s = settings.max_clock_skew_seconds
    spans = await _spans(connection, parameters)
    found = await rows_around(connection, queries["vehicle"], parameters, skew_s, spans)
    sessions = [row for row in found if row["meter_id"] is not None]
    parameters |= bounds(window, found, "ac_", "dc_")
    parameters |= {
        "session_ids": [row["session_id"] for row in sessions],
        "meter_ids": [row["meter_id"] for row in sessions],
        "starts": [row["start"] for row in sessions],
        "pasts": [row["past"] for row in sessions],
    }
    await gather(connection, spans, parameters, before=0, after=0)
    rows = await _sums(connection, found, sessions, parameters)
    with_length = {"meter_ids": [row["meter_id"] for row in sessions if row["has_length"]]}
    cursor = await connection.execute(queries["rejected"], parameters | with_length)
    beside = await cursor.fetchone() or {}
    return Sums(
        found[0]["known"],
        _figures(rows, sessions, found[0]["dc_pace_s"], now, beside),
        rows,
        _paces(rows, found),
    )


async def _spans(connection: Connection, parameters: dict[str, Any]) -> Spans:
    """What of the vehicle's and its meters' time is looked at, where that has to be gathered."""
    if not has_citus(connection):
        return {}
    met = await fetched(connection, statements(connection, "analytics")["meters_met"], parameters)
    meters = {Span(row["meter_id"], row["start"], row["past"]) for row in met}
    vehicle = Span(parameters["vehicle_id"], parameters["start"], parameters["end"])
    return {METER: list(meters), VEHICLE: [vehicle]}


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
        statement = statements(connection, "plain")["plain_sums"]
        rows = await fetched(connection, statement, plain)
        if all(row["holds"] for row in rows):
            return rows
    return await fetched(connection, statements(connection, "analytics")["sums"], parameters)


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


def _paces(rows: list[Row], found: list[Row]) -> tuple[Pace, Pace]:
    """How often each side reported. Meters of several paces are judged by the slowest."""
    gaps = {row["side"]: row for row in rows if row["gaps"] is not None}
    ac, dc = (gaps.get(name, {"gap": None, "gaps": 0}) for name in ("ac", "dc"))
    ac_paces = [row["ac_pace_s"] for row in found if row["has_length"] and row["ac_pace_s"]]
    return (
        Pace("AC", ac["gap"], ac["gaps"], max(ac_paces, default=None)),
        Pace("DC", dc["gap"], dc["gaps"], found[0]["dc_pace_s"]),
    )
