"""Making a device's readings stand as its corrections say, in the transaction that changes one.

Sent readings stay where they are: the stretches of them that are moved or out are written down, and
those that corrections brought in, where they stand now. All that the changed correction has to do
with is written anew, so that undoing one is no more than to leave it out.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from api.correcting import (
    SENT,
    Change,
    Correction,
    Piece,
    changes,
    meetings,
    merged,
    pieces,
    reach_of,
    standing_in,
)
from api.database import Connection
from api.http.beside import beside
from schemas.streams.stream import Stream
from schemas.streams.times import to_micros
from sql import locks
from sql.citus import has_citus
from sql.gathered import statements
from sql.named import load

SQL = load("corrections")
GATHERED = load("gathered")
MAX_MEETING = 1_000
"""Corrections of a device that have to do with each other."""
BYTES_EACH = 100
FAR = 2**62

Stretch = tuple[int, int]


class TooManyMeetError(Exception):
    """So many corrections have to do with each other that another one is not taken."""


class Turn(NamedTuple):
    """What it changes to make a correction, or to undo it."""

    reach: Stretch
    """Beyond it nothing changes."""
    after: list[Piece]
    """Where readings within the reach stand then."""
    changed: list[Change]

    @property
    def touched(self) -> list[Stretch]:
        """The stretches in which readings go or come."""
        return merged(stretch for change in self.changed for stretch in change.touched())


def turn(one: Correction, others: Iterable[Correction], *, undone: bool) -> Turn:
    """What it changes to make `one`, or to undo it, where `others` are in force.

    Raises TooManyMeetError.
    """
    reach = reach_of(one, others)
    near = [c for c in others if c.reach[0] < reach[1] and c.reach[1] > reach[0]]
    if len(near) >= MAX_MEETING and not undone:
        raise TooManyMeetError
    without = pieces(near, reach)
    with_it = pieces(sorted([*near, one]), reach)
    before, after = (with_it, without) if undone else (without, with_it)
    return Turn(reach, after, changes(before, after))


class CorrectedDevice:
    """A device whose corrections no other transaction changes until this one ends."""

    def __init__(self, connection: Connection, stream: Stream, device_id: str) -> None:
        self._connection = connection
        self._stream = stream.name
        self._device = {"stream": stream.name, "device": device_id}

    async def in_force(self) -> list[Correction]:
        """Take the lock, and read the corrections in force, in order."""
        await self._connection.execute(SQL["lock"], self._device | {"lock": locks.CORRECTIONS})
        rows = await (await self._connection.execute(SQL["in_force"], self._device)).fetchall()
        times = ("first", "past")
        return [Correction(**row | {name: to_micros(row[name]) for name in times}) for row in rows]

    async def turned(
        self, one: Correction, others: list[Correction], *, undone: bool = False
    ) -> Turn:
        """What it changes to make `one`, or to undo it. Raises TooManyMeetError."""
        return await beside(BYTES_EACH * len(others), turn, one, others, undone=undone)

    async def retired(self, stretches: Iterable[Stretch]) -> Any:
        """The first day of these stretches whose readings are gone; None when there is none."""
        row = await self._one("retired", _columns(stretches, ("firsts", "pasts")))
        return row and row["day"]

    async def untimely(self, turn: Turn, oldest: int, newest: int) -> datetime | None:
        """The first instant before `oldest` or after `newest` where it would put a reading."""
        moved = [change for change in turn.changed if change.was != change.now]
        outside = [*standing_in(moved, -FAR, oldest), *standing_in(moved, newest + 1, FAR)]
        return await self._first("first", outside)

    async def taken(self, turn: Turn) -> datetime | None:
        """The first instant where two readings would meet; None when there is none."""
        return await self._first("taken", meetings(turn.changed))

    async def write(self, turn: Turn) -> None:
        """Have readings stand as after the turn, and the rollups hear of it."""
        reach = dict(zip(("first", "past"), turn.reach, strict=True))
        for name in ("forget_stretches", f"{self._stream}_forget"):
            await self._connection.execute(SQL[name], self._device | reach)
        names = ("ofs", "firsts", "pasts", "moved_by", "ranks")
        ranks = {age: n for n, age in enumerate(sorted({piece.age for piece in turn.after}), 1)}
        sent = [
            (*piece[:3], None if piece.out else piece.moved_by, ranks[piece.age])
            for piece in turn.after
            if piece.of == SENT and piece.number
        ]
        brought_in = [
            (*piece[:4], ranks[piece.age])
            for piece in turn.after
            if piece.of != SENT and not piece.out
        ]
        await self._all("keep_stretches", _columns(sent, names))
        await self._all(f"{self._stream}_bring_in", _columns(brought_in, names))
        await self._all("log", _columns(turn.touched, ("firsts", "pasts")))

    async def _first(self, name: str, changed: list[Change]) -> datetime | None:
        if not changed:
            return None
        rows = [(*c[:3], c.now.moved_by, *c.was) for c in changed]
        names = ("ofs", "firsts", "pasts", "moved_by", "was", "out_by")
        columns = _columns(rows, names)
        if has_citus(self._connection):
            await self._connection.execute(GATHERED["begin"])
            gather = SQL[f"gather_{self._stream}"]
            await self._connection.execute(gather, self._device | columns)
            await self._connection.execute(GATHERED["end"])
        row = await self._one(f"{self._stream}_{name}", columns)
        found: datetime | None = row and row["at"]
        return found

    async def _one(self, name: str, columns: dict[str, list[Any]]) -> Any:
        statement = statements(self._connection, "corrections")[name]
        cursor = await self._connection.execute(statement, self._device | columns)
        return await cursor.fetchone()

    async def _all(self, name: str, columns: dict[str, list[Any]]) -> None:
        if columns["firsts"]:
            await self._connection.execute(SQL[name], self._device | columns)


def _columns(rows: Iterable[tuple[Any, ...]], names: tuple[str, ...]) -> dict[str, list[Any]]:
    """Rows as lists for unnest."""
    rows = list(rows)
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}
