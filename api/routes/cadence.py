"""How often devices report: they take over the pace at which they were seen to.

A pace decides which session an increment belongs to and what readings cover (`docs/analytics.md`),
so a wrong one is worse than none. Nobody knows it of a thousand devices; their readings do.
"""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.around import gather, gathered
from api.database import Connection, Database
from api.http.bodies import MAX_INGEST_BYTES
from api.http.endpoint import allows, answers
from api.http.responses import JsonResponse
from api.paces import pace_of
from schemas.analytics import LATEST, MANY_GAPS
from schemas.cadence import AdoptedCadence, CadenceAdoption, CadenceAdoptions
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.streams import METER, VEHICLE
from sql.gathered import Span, statements
from sql.named import load

SQL = load("cadence")
FIRST_TO_LAST = (METER.name, VEHICLE.name)
OBSERVED_DAYS = 31
MAX_GAPS = 100
"""A pace is the median of at most so many gaps, the latest of OBSERVED_DAYS."""
MAX_BODY_BYTES = MAX_INGEST_BYTES // 8
"""A thousand ids of 64 characters, each written as two \\u escapes, fit in."""

Row = dict[str, Any]


class Cadence:
    """The route /v1/devices/adopt-cadence."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @allows(Access.OPERATE)
    @answers(CadenceAdoptions, max_body_bytes=MAX_BODY_BYTES)
    async def adopt(self, request: Request, body: CadenceAdoption) -> Response:
        """Set devices' `reportSeconds` to what their latest readings show.

        It is the median of up to 100 gaps of the last 31 days, at least 10, in whole seconds; a
        median within 5 % of a round value (1 s, 5 s, ... 15 min ... a day) stands for that value.
        Figures of the past change with it.
        """
        ids = list(dict.fromkeys(body.device_ids))
        asked = {
            "ids": ids,
            "streams": [body.stream_type] if body.stream_type else list(FIRST_TO_LAST),
            "since": utc_now() - timedelta(days=OBSERVED_DAYS),
            "latest": MAX_GAPS + 1,
        }
        async with self._database.connection() as connection:
            rows = await _observed(connection, asked)
            judged = [judge(row) for row in rows]
            async with connection.transaction():
                changed = 0
                for stream in FIRST_TO_LAST:
                    cursor = await connection.execute(
                        SQL[f"adopt_{stream}"], _wanted(judged, stream)
                    )
                    changed += cursor.rowcount
        return JsonResponse(
            CadenceAdoptions(message=_message(changed), devices=_by_id(ids, judged))
        )


async def _observed(connection: Connection, asked: dict[str, Any]) -> list[Row]:
    """The rows of `observe`."""
    latest = [Span(device, LATEST, LATEST) for device in asked["ids"]]
    bounds = {"base_start": asked["since"], "end": LATEST}
    async with gathered(connection):
        await gather(
            connection,
            dict.fromkeys((METER, VEHICLE), latest),
            bounds,
            before=asked["latest"],
            within=0,
            after=0,
        )
        statement = statements(connection, "cadence")["observe"]
        return await (await connection.execute(statement, asked)).fetchall()


def judge(row: Row) -> AdoptedCadence:
    """What becomes of a registered device, by what was observed of it."""
    gaps = max(0, row["readings"] - 1)
    observed = row["seconds"] if gaps >= MANY_GAPS else None
    pace = None if observed is None else pace_of(observed)
    message = None
    if observed is None:
        message = f"Left as it was: it has {gaps} gaps between readings of the last"
        message += f" {OBSERVED_DAYS} days, and at least {MANY_GAPS} are needed"
    elif pace is None:
        message = "Left as it was: a pace is at most a day"
    return AdoptedCadence(
        device_id=row["device_id"],
        stream_type=row["stream_type"],
        report_seconds=pace,
        previous=row["previous"],
        observed_seconds=None if observed is None else round(observed, 3),
        message=message,
    )


def _wanted(judged: list[AdoptedCadence], stream: str) -> dict[str, Any]:
    """The paces to set of one stream's devices."""
    wanted = [one for one in judged if one.stream_type == stream and one.report_seconds]
    return {
        "ids": [one.device_id for one in wanted],
        "seconds": [one.report_seconds for one in wanted],
    }


def _by_id(ids: list[str], judged: list[AdoptedCadence]) -> list[AdoptedCadence]:
    """In the order of the ids; one that no device has is told apart."""
    found: dict[str, list[AdoptedCadence]] = {device_id: [] for device_id in ids}
    for one in judged:
        found[one.device_id].append(one)
    return [one for device_id in ids for one in found[device_id] or [_unknown(device_id)]]


def _unknown(device_id: str) -> AdoptedCadence:
    return AdoptedCadence(
        device_id=device_id,
        stream_type=None,
        report_seconds=None,
        previous=None,
        observed_seconds=None,
        message="Not registered",
    )


def _message(changed: int) -> str:
    if not changed:
        return "No device has another pace than before"
    devices, their = (
        ("1 device has", "its") if changed == 1 else (f"{changed:,} devices have", "their")
    )
    return f"{devices} another pace than before: {their} figures of the past change with it"
