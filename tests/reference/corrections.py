"""What corrections make of a device's readings: each in turn, of what those before it left."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple


class Reading(NamedTuple):
    time: datetime
    kwh: Decimal
    temp: Decimal | None = Decimal(0)


class Correction(NamedTuple):
    """What somebody says of a device's readings in [first, past)."""

    action: str
    first: datetime
    past: datetime
    readings: tuple[Reading, ...] = ()
    shift: timedelta = timedelta()
    in_force: bool = True
    """Not undone."""

    def has(self, placed: "Placed") -> bool:
        return self.first <= placed.reading.time < self.past


class Placed(NamedTuple):
    """A reading where it is now."""

    reading: Reading
    numbers: tuple[int, ...] = ()
    """Of the corrections that brought it in or moved it, the newest first; they count from 1."""
    sent_at: datetime | None = None
    """None when a correction brought it in."""


def placed_by(sent: Sequence[Reading], corrections: Iterable[Correction]) -> list[Placed]:
    """Where readings are, in no order; several may have one time."""
    found = [Placed(reading, sent_at=reading.time) for reading in sent]
    for number, correction in enumerate(corrections, 1):
        if not correction.in_force:
            continue
        inside = [placed for placed in found if correction.has(placed)]
        if correction.action != "add":
            found = [placed for placed in found if not correction.has(placed)]
        if correction.action == "shift":
            found += [moved(placed, correction.shift, number) for placed in inside]
        found += [Placed(reading, (number,)) for reading in correction.readings]
    return found


def moved(placed: Placed, shift: timedelta, number: int) -> Placed:
    reading = placed.reading._replace(time=placed.reading.time + shift)
    return placed._replace(reading=reading, numbers=(number, *placed.numbers))


def standing(sent: Sequence[Reading], corrections: Iterable[Correction]) -> list[Placed]:
    """One of each time, in order: where a late reading meets a corrected one, the newer stays."""
    best: dict[datetime, Placed] = {}
    for placed in sorted(placed_by(sent, corrections), key=rank):
        best[placed.reading.time] = placed
    return [best[time] for time in sorted(best)]


def rank(placed: Placed) -> tuple[int, ...]:
    """The newest correction's stays; what that one moved together stays as it was before."""
    return placed.numbers


def is_free(sent: Sequence[Reading], corrections: Iterable[Correction]) -> bool:
    """Whether these corrections bring no two readings to one instant."""
    times = [placed.reading.time for placed in placed_by(sent, corrections)]
    return len(times) == len(set(times))


def corrected(sent: Sequence[Reading], corrections: Sequence[Correction]) -> list[datetime]:
    """When readings stand that were brought in or moved; when those were sent that were taken out,
    where none stands now."""
    left = standing(sent, corrections)
    there = {placed.reading.time for placed in left}
    out = {r.time for r in sent} - {placed.sent_at for placed in placed_by(sent, corrections)}
    return [placed.reading.time for placed in left if placed.numbers] + sorted(out - there)
