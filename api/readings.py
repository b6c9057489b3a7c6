"""A device's readings of a window, step by step, as they were sent or as corrections have them.

A step reads so few that it holds nobody up. As corrected, one reading may come from elsewhere and
another be out, so that PostgreSQL is asked first how far to go.
"""

from datetime import timedelta
from typing import Any

from api.database import Connection
from schemas.analytics import Window
from schemas.streams.stream import Stream
from sql.named import load_for

READINGS_A_STEP = 2_000
"""Few enough for one step to hold other requests up for some milliseconds only."""
COUNTED_A_STEP = 20_000
TICK = timedelta(microseconds=1)

Rows = list[dict[str, Any]]


class Readings:
    """One device's readings, whether or not corrections are seen."""

    def __init__(self, stream: Stream, device_id: str, *, corrected: bool) -> None:
        self._sql = load_for(stream)
        self._id = device_id
        self._corrected = corrected

    async def step(self, connection: Connection, window: Window) -> tuple[Rows, Window]:
        """The first readings of the window, and what is left of it; none does not mean the end."""
        if not self._corrected:
            return await self._read(connection, "readings", window, window)
        near = await self._near(connection, window, READINGS_A_STEP)
        return await self._read(connection, "readings_corrected", near, window)

    async def page(self, connection: Connection, window: Window, limit: int) -> Window:
        """The window up to the first reading beyond the limit."""
        if not self._corrected:
            row = await self._one(connection, "beyond_limit", window, limit=limit)
            return Window(window.start, row["timestamp"]) if row else window
        rest = window
        while rest.start < rest.end:
            near = await self._near(connection, rest, max(limit, COUNTED_A_STEP))
            row = await self._one(connection, "beyond_limit_corrected", near, limit=limit)
            if row["timestamp"]:
                return Window(window.start, row["timestamp"])
            limit -= row["count"]
            rest = Window(near.end, rest.end)
        return window

    async def _near(self, connection: Connection, window: Window, most: int) -> Window:
        """The part of the window that has at most so many readings of each origin."""
        row = await self._one(connection, "corrected_until", window, most=most)
        return Window(window.start, row["until"])

    async def _read(
        self, connection: Connection, name: str, near: Window, window: Window
    ) -> tuple[Rows, Window]:
        """A `real` has its shortest form, as PostgreSQL prints it."""
        parameters = {"id": self._id, "limit": READINGS_A_STEP, **near._asdict()}
        rows = await (await connection.execute(self._sql[name], parameters)).fetchall()
        full = len(rows) == READINGS_A_STEP
        return rows, Window(rows[-1]["timestamp"] + TICK if full else near.end, window.end)

    async def _one(self, connection: Connection, name: str, window: Window, **more: int) -> Any:
        parameters = {"id": self._id, **window._asdict(), **more}
        return await (await connection.execute(self._sql[name], parameters)).fetchone()
