"""Devices that have stopped reporting: how many there are, and which ones did so last.

Silence is judged by the times in the readings, as it is for idle sessions. So when the workers are
behind, every device looks silent for that long; the lag shows that they are.
"""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from api.database import Database
from api.http.endpoint import allows, answers
from api.http.responses import JsonResponse
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.silence import Silence, SilenceQuery, SilentDevice
from sql.named import load

SQL = load("silence")


class SilentDevices:
    """The route /v1/devices/silent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @allows(Access.READ)
    @answers(Silence)
    async def silent(self, request: Request, query: SilenceQuery) -> Response:
        """Devices without a reading in the last minutes; those that fell silent last come first."""
        since = utc_now() - timedelta(minutes=query.minutes)
        parameters = {"since": since, "limit": query.limit, "retired": query.retired}
        async with self._database.connection() as connection:
            rows = await (await connection.execute(SQL["silent"], parameters)).fetchall()
        silence = Silence(
            since=since,
            meters=rows[0]["meters"],
            vehicles=rows[0]["vehicles"],
            known_meters=rows[0]["known_meters"],
            known_vehicles=rows[0]["known_vehicles"],
            devices=[SilentDevice.model_validate(row) for row in rows if row["device_id"]],
        )
        return JsonResponse(silence)
