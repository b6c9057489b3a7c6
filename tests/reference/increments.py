"""What each reading stands for: an interval's value, or how much a register rose.

A register does not simply rise: it dips by its last digit, shows nonsense for a moment, rolls over,
starts anew or is exchanged. Its chain is followed in order of time, by the values that count.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import NamedTuple

from tests.reference.corrections import Reading
from tests.reference.devices import REACH, TOLERANCE, Device, Exchange, hours_of

FIFTH_MORE = Fraction(6, 5)
"""Clocks and rounding let a device seem to carry a little more than it can."""
LEAST_TIME = timedelta(minutes=1)
TIME_OF_FIRST = timedelta(hours=1)
RECENT = 10
"""Readings whose highest is what a register rises from, after a dip."""
FOLLOWERS = 2
"""Readings that may take a drop back."""


class Kind(StrEnum):
    VALUE = "value"
    FIRST = "first"
    RISE = "rise"
    EXCHANGE = "exchange"
    ROLL_OVER = "roll-over"
    SPIKE = "spike"
    PENDING = "pending"
    """A drop that readings yet to come may take back."""
    DIP = "dip"
    RESET = "reset"


class Increment(NamedTuple):
    time: datetime
    previous: datetime | None
    energy: Fraction
    kind: Kind
    implausible: bool
    is_edge: bool = False
    """Of what a session says of the register, not of a reading."""


class Limits(NamedTuple):
    """What no device can carry, and what this one can, in kW."""

    of_all: Fraction
    own: Fraction | None
    """None when nobody says it, or nobody says how often it reports."""
    pace: timedelta

    def credible(self, energy: Fraction, gap: timedelta | None) -> bool:
        time = TIME_OF_FIRST if gap is None else max(gap, LEAST_TIME)
        return energy <= carried(self.of_all, time)

    def usual(self, energy: Fraction, gap: timedelta | None) -> bool:
        time = self.pace if gap is None else max(gap, self.pace)
        return self.own is None or energy <= carried(self.own, time)

    def plausible(self, energy: Fraction, gap: timedelta | None) -> bool:
        return energy >= 0 and self.credible(energy, gap) and self.usual(energy, gap)


def carried(kw: Fraction, time: timedelta) -> Fraction:
    """The most kWh that a power carries in a time."""
    return kw * hours_of(time) * FIFTH_MORE


def limits_of(device: Device, pace: timedelta | None, max_plausible_kw: Fraction) -> Limits:
    own = None if pace is None or device.max_kw is None else Fraction(device.max_kw)
    return Limits(max_plausible_kw, own, pace or timedelta())


def increments(
    device: Device,
    starts: Iterable[datetime],
    pace: timedelta | None,
    max_plausible_kw: Fraction,
    edges: Sequence[Reading] = (),
) -> list[Increment]:
    """One of each reading and edge, in order of time; `starts` are of the device's sessions."""
    chain = Chain(device, list(starts), limits_of(device, pace, max_plausible_kw), edges)
    return [chain.next(n) for n in range(len(chain.readings))]


class Chain:
    """Where a register stands while its readings are followed."""

    def __init__(
        self, device: Device, starts: list[datetime], limits: Limits, edges: Sequence[Reading]
    ) -> None:
        self.register, self.modulus = device.register, device.modulus
        self.tolerance = Fraction(TOLERANCE if device.tolerance is None else device.tolerance)
        self.exchanges, self.starts, self.limits = sorted(device.exchanges), starts, limits
        self.edges = {edge.time for edge in edges}
        self.readings = sorted((*device.in_order(), *edges), key=lambda reading: reading.time)
        self.recent: list[Fraction] = []
        """Values that count, back to the last reset, roll-over, exchange or first reading."""

    def next(self, n: int) -> Increment:
        """What the nth reading stands for."""
        time, previous = self.readings[n].time, self._previous(n)
        kind, energy = self._judged(n)
        gap = None if previous is None else time - previous
        self._goes_on(kind, value(self.readings[n]))
        implausible = not self.limits.plausible(energy, gap)
        if not self.limits.credible(energy, gap):
            energy = Fraction(0)
        return Increment(time, previous, energy, kind, implausible, time in self.edges)

    def _previous(self, n: int) -> datetime | None:
        if n == 0 or self.readings[n].time - self.readings[n - 1].time > REACH:
            return None
        return self.readings[n - 1].time

    def _judged(self, n: int) -> tuple[Kind, Fraction]:
        reading, previous = self.readings[n], self._previous(n)
        new = value(reading)
        if not self.register:
            return Kind.VALUE, new
        if previous is None:
            return Kind.FIRST, Fraction(0)
        old = self.recent[-1]
        exchanges = [e for e in self.exchanges if previous < e.at <= reading.time]
        if exchanges:
            return Kind.EXCHANGE, exchanged(old, exchanges, new)
        if new < old and self.modulus is not None:
            rolled = new + Fraction(self.modulus) - old
            if self.limits.plausible(rolled, reading.time - previous):
                return Kind.ROLL_OVER, rolled
        if not self._starts_in(previous, reading.time):
            for kind in (self._nonsense(n, old, new), self._dip(old, new)):
                if kind is not None:
                    return kind, Fraction(0)
        if new < old:
            return Kind.RESET, new
        return Kind.RISE, max(Fraction(0), new - max(self.recent[-RECENT:]))

    def _goes_on(self, kind: Kind, new: Fraction) -> None:
        if kind in (Kind.FIRST, Kind.EXCHANGE, Kind.ROLL_OVER, Kind.RESET):
            self.recent = [new]
        elif kind in (Kind.RISE, Kind.DIP):
            self.recent.append(new)

    def _dip(self, old: Fraction, new: Fraction) -> Kind | None:
        return Kind.DIP if 0 < old - new <= self.tolerance else None

    def _nonsense(self, n: int, old: Fraction, new: Fraction) -> Kind | None:
        """Whether readings to come take it back, or still may."""
        followers = [value(reading) for reading in self._followers(n)]
        back = old - self.tolerance
        if new - old > self.tolerance:
            taken = any(back <= f and new - f > self.tolerance for f in followers[:1])
            return Kind.SPIKE if taken else None
        if old - new > self.tolerance:
            if any(back <= f for f in followers):
                return Kind.SPIKE
            if len(followers) < FOLLOWERS and not self._settled(self.readings[n].time):
                return Kind.PENDING
        return None

    def _followers(self, n: int) -> list[Reading]:
        """The readings after the nth that may take it back."""
        found = []
        for m in range(n + 1, min(n + 1 + FOLLOWERS, len(self.readings))):
            previous, time = self._previous(m), self.readings[m].time
            if previous is None or self._starts_in(previous, time):
                break
            if time - self.readings[n].time > REACH:
                break
            if any(previous < e.at <= time for e in self.exchanges):
                break
            found.append(self.readings[m])
        return found

    def _starts_in(self, previous: datetime, time: datetime) -> bool:
        return any(previous < start <= time for start in self.starts)

    def _settled(self, time: datetime) -> bool:
        """Whether nothing that comes can take a drop at this time back."""
        breaks = (*self.starts, *(e.at for e in self.exchanges))
        return any(time < at <= time + REACH for at in breaks)


def exchanged(old: Fraction, exchanges: list[Exchange], new: Fraction) -> Fraction:
    """What the first device still counted, and what the last one counted since."""
    last_of_old, first_of_new = exchanges[0].last_of_old, exchanges[-1].first_of_new
    energy = Fraction(0)
    if last_of_old is not None:
        energy += max(Fraction(0), Fraction(last_of_old) - old)
    if first_of_new is not None:
        energy += max(Fraction(0), new - Fraction(first_of_new))
    return energy


def value(reading: Reading) -> Fraction:
    return Fraction(reading.kwh)
