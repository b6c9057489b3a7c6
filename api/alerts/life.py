"""The life of alerts: what was found opens them, what is found no more resolves them.

Each step in the life of a certain alert is written down as an event, in the same transaction, to be
told to others. Those who write events wait for each other: so events are numbered in the order in
which they can be seen, and no reader misses one.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.types.json import Jsonb

from api.database import Connection
from schemas.alerts import RaisedAlert
from sql import locks
from sql.named import load

SQL = load("alerts")
Row = dict[str, Any]


class Finding(NamedTuple):
    """Something amiss, as it was found now."""

    code: str
    stream: str
    device_id: str
    message: str
    why: str | None = None
    """Why it is not certain."""
    meter_id: str | None = None
    session_id: UUID | None = None

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it the same as one that was found before."""
        return self.code, self.stream, self.device_id, self.session_id


async def carry_on(
    connection: Connection, standing: Iterable[Row], findings: Iterable[Finding], now: datetime
) -> None:
    """Open, change and resolve alerts, so that the standing ones are what was found.

    Wants a connection in a transaction.
    """
    found = {finding.key: finding for finding in findings}
    known = {_key(row): row for row in standing}
    changed = {key: one for key, one in found.items() if _differs(known.get(key), one)}
    gone = [row for key, row in known.items() if key not in found]
    if not changed and not gone:
        return
    await _wait_for_turn(connection)
    for key, one in changed.items():
        await _open(connection, known.get(key), one, now)
    for row in gone:
        parameters = {"alert_id": row["alert_id"], "now": now}
        await _step(connection, "resolve", parameters, "resolved")


async def acknowledge(
    connection: Connection, alert_id: UUID, who: str, note: str | None, now: datetime
) -> Row | None:
    """The alert, acknowledged; None when there is none that is not resolved.

    Wants a connection in a transaction.
    """
    await _wait_for_turn(connection)
    parameters = {"alert_id": alert_id, "acknowledged_by": who, "note": note, "now": now}
    return await _step(connection, "acknowledge", parameters, "acknowledged")


def _key(row: Row) -> tuple[Any, ...]:
    return row["code"], row["stream_type"], row["device_id"], row["session_id"]


def _differs(row: Row | None, found: Finding) -> bool:
    """Whether the row says something else; what was certain stays so."""
    if row is None:
        return True
    why = None if row["certain_since"] else found.why
    return (row["message"], row["why"]) != (found.message, why)


async def _open(connection: Connection, row: Row | None, found: Finding, now: datetime) -> None:
    """Open an alert, or have one say what was found by now."""
    if row is None:
        await _step(connection, "open", found._asdict() | {"now": now}, "opened")
        return
    parameters = {
        "alert_id": row["alert_id"],
        "message": found.message,
        "why": found.why,
        "now": now,
    }
    became_certain = row["certain_since"] is None and found.why is None
    await _step(connection, "change", parameters, "opened" if became_certain else None)


async def _step(
    connection: Connection, statement: str, parameters: Row, event: str | None
) -> Row | None:
    """Take a step in an alert's life, and tell of it, if it is certain; None when it was late."""
    row = await (await connection.execute(SQL[statement], parameters)).fetchone()
    if row and event and row["certain_since"]:
        shown = Jsonb(RaisedAlert.of_row(row).model_dump(mode="json", by_alias=True))
        told = {"event": event, "alert": shown}
        await connection.execute(SQL["tell"], row | told)
    return row


async def _wait_for_turn(connection: Connection) -> None:
    await connection.execute(SQL["lock_events"], {"lock": locks.ALERT_EVENTS})
