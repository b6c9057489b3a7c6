"""What the figures mean, in plain Python over lists: slow, obvious, and nothing of the product's.

Readings are (time, kWh, battery temperature) in any order, several of one time allowed: the first
counts. Energies and temperatures are Decimal, all sums exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

BASE_REACH = timedelta(days=31)
ZERO = Decimal(0)


class Reading(NamedTuple):
    time: datetime
    kwh: Decimal
    temp: Decimal = ZERO


class Session(NamedTuple):
    meter: str
    vehicle: str
    start: datetime
    end: datetime | None

    def clip(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Its share of a window; nothing of it when the first is not before the second."""
        return max(self.start, start), min(self.end or end, end)


@dataclass
class Device:
    register: bool
    readings: list[Reading] = field(default_factory=list)


@dataclass
class ReferenceFleet:
    meters: dict[str, Device] = field(default_factory=dict)
    vehicles: dict[str, Device] = field(default_factory=dict)
    sessions: list[Session] = field(default_factory=list)


class Credit(NamedTuple):
    """A reading with the energy it stands for."""

    time: datetime
    energy: Decimal
    reset: bool
    temp: Decimal


@dataclass
class Sums:
    """Of a window, an hour or a session."""

    energy_ac: Decimal = ZERO
    energy_dc: Decimal = ZERO
    energy_outside: Decimal = ZERO
    ac_readings: int = 0
    dc_readings: int = 0
    readings: int = 0
    counter_resets: int = 0
    temp_sum: Decimal = ZERO


@dataclass
class Answer:
    whole: Sums
    hours: dict[datetime, Sums]
    sessions: int
    in_sessions: timedelta


def credited(device: Device) -> list[Credit]:
    """Every reading of a device with its energy, in order of time."""
    first: dict[datetime, Reading] = {}
    for reading in device.readings:
        first.setdefault(reading.time, reading)
    found = []
    previous: Reading | None = None
    for time in sorted(first):
        reading = first[time]
        energy, reset = reading.kwh, False
        if device.register:
            if previous is None or time - previous.time > BASE_REACH:
                energy = ZERO
            elif reading.kwh < previous.kwh:
                reset = True
            else:
                energy = reading.kwh - previous.kwh
        found.append(Credit(time, energy, reset, reading.temp))
        previous = reading
    return found


def hour_of(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def performance(fleet: ReferenceFleet, vehicle: str, start: datetime, end: datetime) -> Answer:
    """A vehicle's sums in [start, end), and by hour."""
    mine = [s for s in fleet.sessions if s.vehicle == vehicle]
    clipped = [(s, *s.clip(start, end)) for s in mine]
    clipped = [(s, first, past) for s, first, past in clipped if first < past]
    answer = Answer(Sums(), {}, len(clipped), timedelta())
    for session, first, past in clipped:
        answer.in_sessions += past - first
        for credit in credited(fleet.meters[session.meter]):
            if first <= credit.time < past:
                for sums in _both(answer, credit):
                    sums.energy_ac += credit.energy
                    sums.ac_readings += 1
                    sums.counter_resets += credit.reset
    for credit in credited(fleet.vehicles.get(vehicle, Device(False))):
        if not start <= credit.time < end:
            continue
        inside = any(first <= credit.time < past for _, first, past in clipped)
        for sums in _both(answer, credit):
            if inside:
                sums.energy_dc += credit.energy
                sums.dc_readings += 1
            else:
                sums.energy_outside += credit.energy
            sums.readings += 1
            sums.temp_sum += credit.temp
            sums.counter_resets += credit.reset
    return answer


def meter(
    fleet: ReferenceFleet, name: str, start: datetime, end: datetime
) -> dict[datetime, Decimal]:
    """A meter's energy by hour in [start, end), whoever charged."""
    hours: dict[datetime, Decimal] = {}
    for credit in credited(fleet.meters[name]):
        if start <= credit.time < end:
            hour = hour_of(credit.time)
            hours[hour] = hours.get(hour, ZERO) + credit.energy
    return hours


def _both(answer: Answer, credit: Credit) -> Iterable[Sums]:
    return answer.whole, answer.hours.setdefault(hour_of(credit.time), Sums())
