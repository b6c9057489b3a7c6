"""Judges sessions: their figures, as the API shows them, open and resolve alerts.

The rollups mark a session whenever figures of its hours may have changed, in the transaction that
takes the change in. So the work depends on what changes, not on how large the fleet is.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from api.alerts.life import SQL, Finding, carry_on
from api.database import Connection
from api.vehicle_sums import sums
from schemas.alerts import RAISED_CODES
from schemas.analytics import Alert, Window
from schemas.settings import Settings
from schemas.text import one_line
from sql.named import load

MOST = 200
"""Sessions in one round."""
SESSIONS = load("sessions")

log = logging.getLogger(__name__)


async def judge_sessions(
    connection: Connection, settings: Settings, now: datetime, settled: datetime
) -> int:
    """Judge sessions that were marked before `settled`; returns how many.

    One that cannot be judged is put off. Raises psycopg.Error when the connection is lost.
    """
    parameters = {"settled": settled, "limit": MOST}
    rows = await (await connection.execute(SQL["sessions_to_judge"], parameters)).fetchall()
    for row in rows:
        try:
            await judge(connection, settings, row["session_id"], now)
        except psycopg.Error as error:
            if connection.closed:
                raise
            log.warning("session %s is judged later: %s", row["session_id"], one_line(error))
            await connection.execute(SQL["put_off"], row)
    return len(rows)


async def judge(
    connection: Connection, settings: Settings, session_id: UUID, now: datetime
) -> None:
    """Judge one session in a transaction; none of its figures can change unseen meanwhile."""
    one = {"session_id": session_id}
    async with connection.transaction():
        if await (await connection.execute(SQL["take_session"], one)).fetchone() is None:
            return
        session = await (await connection.execute(SESSIONS["one"], one)).fetchone()
        standing = await (await connection.execute(SQL["standing_of_session"], one)).fetchall()
        found: list[Finding] = []
        if session and session["ended_at"]:
            window = Window(session["started_at"], session["ended_at"])
            figures = (await sums(connection, settings, session["vehicle_id"], window)).figures
            found = list(_findings(session, figures.alerts()))
        await carry_on(connection, standing, found, now)


def _findings(session: dict[str, Any], alerts: list[Alert]) -> Iterator[Finding]:
    for alert in alerts:
        if alert.code in RAISED_CODES:
            yield Finding(
                code=alert.code,
                stream="vehicle",
                device_id=session["vehicle_id"],
                message=alert.message,
                why=alert.why,
                meter_id=session["meter_id"],
                session_id=session["session_id"],
            )
