"""What there is to reckon with: devices with their readings, and the sessions between them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from tests.reference.corrections import Correction, Placed, Reading, corrected, standing

REACH = timedelta(days=31)
"""How much older than a reading the previous one may be."""
STAMPED_PACE = timedelta(minutes=1)
"""How often a device reports as far as coverage goes, when nobody says it."""
TOLERANCE = Decimal("0.2")
"""By how many kWh a register may dip, when nobody says it."""
MICROSECOND = timedelta(microseconds=1)


class Exchange(NamedTuple):
    """A device was replaced: what the old one's register showed last, the new one's first."""

    at: datetime
    last_of_old: Decimal | None = None
    first_of_new: Decimal | None = None


class Session(NamedTuple):
    meter: str
    vehicle: str
    start: datetime
    end: datetime | None
    meter_start: Decimal | None = None
    """What the meter's register showed at the start."""
    meter_stop: Decimal | None = None

    def overlap(self, start: datetime, end: datetime) -> timedelta:
        """How much of [start, end) it takes; nothing when that is empty or reversed."""
        first, past = max(self.start, start), min(self.end or end, end)
        return max(past - first, timedelta())

    @property
    def has_length(self) -> bool:
        return self.end is None or self.start < self.end


@dataclass
class Device:
    """Readings may come in any order; of several of one time the first counts."""

    register: bool
    readings: list[Reading] = field(default_factory=list)
    pace_s: int | None = None
    """Its reportSeconds."""
    tolerance: Decimal | None = None
    modulus: Decimal | None = None
    max_kw: Decimal | None = None
    """Its capacityKw or maxChargeKw."""
    exchanges: list[Exchange] = field(default_factory=list)
    rejected: list[datetime] = field(default_factory=list)
    """Times of readings that were rejected, not resolved, and no conflict of equal energy."""
    corrections: list[Correction] = field(default_factory=list)
    """In the order in which they were made."""

    def as_sent(self) -> list[Reading]:
        first: dict[datetime, Reading] = {}
        for reading in self.readings:
            first.setdefault(reading.time, reading)
        return [first[time] for time in sorted(first)]

    def in_order(self) -> list[Reading]:
        """As corrected."""
        return [placed.reading for placed in self.placed()]

    def placed(self) -> list[Placed]:
        return standing(self.as_sent(), self.corrections)

    def corrected(self) -> list[datetime]:
        """When corrections brought readings in or moved them to, or took them out for nothing."""
        return corrected(self.as_sent(), self.corrections)


@dataclass
class ReferenceFleet:
    meters: dict[str, Device] = field(default_factory=dict)
    vehicles: dict[str, Device] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)
    default_pace_s: int | None = None
    """REPORT_SECONDS."""
    max_plausible_kw: Fraction = Fraction(10_000)
    now: datetime = datetime(2026, 12, 31, tzinfo=UTC)

    def pace(self, device: Device) -> timedelta | None:
        """None: the device is stamped."""
        seconds = device.pace_s or self.default_pace_s
        return timedelta(seconds=seconds) if seconds else None

    def of_meter(self, name: str) -> list[Session]:
        return sorted((s for s in self.sessions if s.meter == name), key=in_time)

    def of_vehicle(self, name: str) -> list[Session]:
        return sorted((s for s in self.sessions if s.vehicle == name), key=in_time)


def in_time(session: Session) -> tuple[datetime, bool, datetime]:
    """By start, then by end; a session that has none ends last."""
    return session.start, session.end is None, session.end or session.start


def hours_of(time: timedelta) -> Fraction:
    """A length of time in hours, exact."""
    return Fraction(time // MICROSECOND, 3_600_000_000)
