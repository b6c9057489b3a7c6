"""What is summed of a vehicle or of many, and what follows from it; nothing is rounded."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import Any, NamedTuple

from tests.reference.shares import Flags, Share

LOW, IMPOSSIBLE = Fraction(17, 20), Fraction(1)
COMPLETE_SHARE, ESTIMATED_SHARE = Fraction(19, 20), Fraction(1, 20)
ZERO = Fraction(0)


class Window(NamedTuple):
    """[start, end)"""

    start: datetime
    end: datetime

    def has(self, time: datetime) -> bool:
        return self.start <= time < self.end


@dataclass
class Side:
    """Of the meters, or of the vehicle, what belongs to sessions."""

    energy: Fraction = ZERO
    estimated: Fraction = ZERO
    readings: int = 0
    expected: Fraction = ZERO
    seconds: Fraction = ZERO

    @property
    def is_there(self) -> bool:
        """It has a reading, or what sessions say of a register."""
        return bool(self.readings or self.energy)

    def complete(self, session_seconds: Fraction) -> bool:
        long_enough = self.seconds >= COMPLETE_SHARE * session_seconds
        return long_enough and self.estimated <= ESTIMATED_SHARE * self.energy

    def add(self, shares: list[Share]) -> None:
        """Shares of one device."""
        self.energy += total(share.energy for share in shares)
        self.estimated += total(share.estimated for share in shares)
        self.readings += readings_of(shares)


@dataclass
class Figures:
    """Those of windows side by side, or of several vehicles, add up."""

    ac: Side = field(default_factory=Side)
    dc: Side = field(default_factory=Side)
    outside: Fraction = ZERO
    readings: int = 0
    temps: int = 0
    temp_sum: Fraction = ZERO
    sessions: int = 0
    session_seconds: Fraction = ZERO
    counter_resets: int = 0
    dips: int = 0
    spikes: int = 0
    implausible: int = 0
    rejected: int = 0
    corrected: int = 0

    def add_flags(self, shares: Iterable[Share]) -> None:
        for share in shares:
            flags = Flags.of(share.increment)
            self.counter_resets += flags.counter_resets
            self.dips += flags.dips
            self.spikes += flags.spikes
            self.implausible += flags.implausible

    @property
    def ratio(self) -> Fraction | None:
        return ratio(self.dc.energy, self.ac.energy)

    @property
    def quality(self) -> str:
        if not (self.sessions and self.ac.is_there and self.dc.is_there):
            return "none"
        sides = all(side.complete(self.session_seconds) for side in (self.ac, self.dc))
        return "complete" if sides and not self.implausible and not self.rejected else "partial"

    def alerts(self, *more: str) -> list[dict[str, Any]]:
        """`more`: codes that do not follow from sums."""
        if self.quality == "none":
            return []
        found = []
        if self.ratio is not None and self.ratio < LOW:
            found.append("low_efficiency")
        if self.ratio is not None and self.ratio > IMPOSSIBLE:
            found.append("impossible_efficiency")
        if self.implausible:
            found.append("implausible_energy")
        return [{"code": c, "certain": self.quality == "complete"} for c in (*found, *more)]

    def metrics(self) -> dict[str, Any]:
        return {
            "totalEnergyConsumedAc": self.ac.energy,
            "totalEnergyDeliveredDc": self.dc.energy,
            "efficiencyRatio": self.ratio,
            "averageBatteryTemp": self.temp_sum / self.temps if self.temps else None,
            "chargingSessions": self.sessions,
            "readingCount": self.readings,
        }

    def coverage(self) -> dict[str, Any]:
        return {
            "dcEnergyOutsideSessions": self.outside,
            "acReadings": self.ac.readings,
            "acReadingsExpected": floor(self.ac.expected),
            "dcReadings": self.dc.readings,
            "dcReadingsExpected": floor(self.dc.expected),
            "sessionSeconds": self.session_seconds,
            "acSecondsCovered": self.ac.seconds,
            "dcSecondsCovered": self.dc.seconds,
            "estimatedAc": self.ac.estimated,
            "estimatedDc": self.dc.estimated,
            "counterResets": self.counter_resets,
            "dips": self.dips,
            "spikes": self.spikes,
            "implausibleReadings": self.implausible,
            "rejectedReadings": self.rejected,
            "correctedReadings": self.corrected,
            "quality": self.quality,
        }


def ratio(dc: Fraction, ac: Fraction) -> Fraction | None:
    return dc / ac if ac else None


def readings_of(shares: Iterable[Share]) -> int:
    """How many readings have these, each once; a session's edge is none."""
    return len({share.increment.time for share in shares if not share.increment.is_edge})


def total(energies: Iterable[Fraction]) -> Fraction:
    return sum(energies, ZERO)
