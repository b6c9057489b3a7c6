"""Finds devices that fell silent, and those that speak again.

Silence is judged by what Kafka has, not by what PostgreSQL has got so far: while readings wait to
be written, the clock stands still at the time up to which all is read. When most devices fall
silent at once it is not the devices: then nothing is opened.
"""

from datetime import datetime, timedelta
from typing import Any

from api.alerts.life import SQL, Finding, carry_on
from api.database import Connection
from schemas.alerts import JUDGED_FOR
from schemas.analytics import STAMPED_PACE_S
from schemas.settings import Settings
from schemas.streams.times import format_micros, to_micros

CODE = "silent_device"
QUIET = timedelta(minutes=15)
REPORTS = 5
"""So many readings of its pace has a silent device missed at least."""
MOST_SHARE = 0.5
"""When more of the devices than this fall silent, it is not theirs."""
FEW = 10
"""Of fewer devices no share is taken."""


async def judge_silence(
    connection: Connection, settings: Settings, now: datetime, heard_until: datetime
) -> None:
    """Open alerts of silent devices, and resolve those of the others. Raises psycopg.Error."""
    parameters = {
        "heard_until": heard_until,
        "recent": now - JUDGED_FOR,
        "quiet": QUIET,
        "reports": REPORTS,
        "report_seconds": settings.report_seconds,
        "usual_pace_s": STAMPED_PACE_S,
    }
    async with connection.transaction():
        standing = await (await connection.execute(SQL["standing"], {"code": CODE})).fetchall()
        rows = await (await connection.execute(SQL["silent"], parameters)).fetchall()
        found = [_finding(row) for row in rows]
        if _all_at_once(rows):
            known = {(row["stream_type"], row["device_id"]) for row in standing}
            found = [one for one in found if (one.stream, one.device_id) in known]
        await carry_on(connection, standing, found, now)


def _all_at_once(rows: list[dict[str, Any]]) -> bool:
    silent = sum(1 for row in rows if row["is_recent"])
    return silent >= FEW and silent > MOST_SHARE * int(rows[0]["heard"])


def _finding(row: dict[str, Any]) -> Finding:
    since = format_micros(to_micros(row["last_reading"]))
    why = None if row["in_reach"] else "it is in no session, so it may be out of reach"
    return Finding(CODE, row["stream"], row["device_id"], f"No reading since {since}", why)
