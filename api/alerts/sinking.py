"""Finds chargers whose sessions' efficiency sinks against their own past.

Compared are the last RECENT_DAYS whole days with the DAYS_BEFORE before them, both with enough
energy to mean something. An alert ends once most of the loss is made good.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from api.alerts.life import SQL, Finding, carry_on
from api.database import Connection
from api.figures import EXACT, ratio, rounded_ratio
from schemas.analytics import ESTIMATED_SHARE

CODE = "sinking_charger"
RECENT_DAYS, DAYS_BEFORE = 3, 21
SANK_BY, GOOD_AGAIN_BELOW = Decimal("0.05"), Decimal("0.03")
ENOUGH_BEFORE, ENOUGH_RECENT = Decimal(50), Decimal(10)
"""kWh of AC."""


async def judge_chargers(connection: Connection, now: datetime) -> None:
    """Open alerts of chargers that sank, and resolve those of the others. Raises psycopg.Error."""
    end = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    recent = end - timedelta(days=RECENT_DAYS)
    parameters = {
        "start": recent - timedelta(days=DAYS_BEFORE),
        "recent": recent,
        "end": end,
        "enough_before": ENOUGH_BEFORE,
        "enough_recent": ENOUGH_RECENT,
    }
    async with connection.transaction():
        standing = await (await connection.execute(SQL["standing"], {"code": CODE})).fetchall()
        rows = await (await connection.execute(SQL["chargers_in_time"], parameters)).fetchall()
        known = {row["device_id"] for row in standing}
        await carry_on(connection, standing, list(_findings(rows, known)), now)


def _findings(rows: list[dict[str, Any]], known: set[str]) -> Iterator[Finding]:
    for row in rows:
        before = ratio(row["dc_before"], row["ac_before"])
        by_now = ratio(row["dc_recent"], row["ac_recent"])
        assert before is not None
        assert by_now is not None
        limit = GOOD_AGAIN_BELOW if row["meter_id"] in known else SANK_BY
        if EXACT.subtract(before, by_now) >= limit:
            yield Finding(CODE, "meter", row["meter_id"], _message(row), _doubt(row))


def _message(row: dict[str, Any]) -> str:
    was = rounded_ratio(row["dc_before"], row["ac_before"])
    now = rounded_ratio(row["dc_recent"], row["ac_recent"])
    return (
        f"Efficiency sank to {now:.2f} in the last {RECENT_DAYS} days, from {was:.2f} in the"
        f" {DAYS_BEFORE} before"
    )


def _doubt(row: dict[str, Any]) -> str | None:
    """Why it is not certain."""
    if row["implausible"]:
        return f"implausible readings: {row['implausible']:,}"
    energy = sum(row[name] for name in ("ac_before", "dc_before", "ac_recent", "dc_recent"))
    if row["estimated"] > EXACT.multiply(ESTIMATED_SHARE, energy):
        return "too much of the energy is estimated"
    return None
