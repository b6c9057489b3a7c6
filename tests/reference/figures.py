"""A vehicle's figures in a window and a session's, as the HTTP API gives them."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from statistics import median
from typing import Any

from tests.reference.covered import covered, stretches
from tests.reference.devices import REACH, STAMPED_PACE, Device, ReferenceFleet, Session, hours_of
from tests.reference.shares import Share, flagged, shares_of_meter, shares_of_vehicle
from tests.reference.sums import Figures, Side, Window

HOUR = timedelta(hours=1)
MANY_GAPS = 10
SLOWER, FASTER = 2, Fraction(1, 2)


def figures(fleet: ReferenceFleet, vehicle: str, start: datetime, end: datetime) -> Figures:
    """A vehicle's sums in [start, end)."""
    window, found = Window(start, end), Figures()
    for meter in {session.meter for session in fleet.of_vehicle(vehicle)}:
        of_meter = shares_of_meter(fleet, meter)
        found.ac.add(within(window, of_vehicle(vehicle, of_meter)))
        found.add_flags(within(window, flagged(of_vehicle(vehicle, of_meter))))
    own = shares_of_vehicle(fleet, vehicle)
    found.dc.add(within(window, of_vehicle(vehicle, own)))
    found.outside = sum((s.energy for s in within(window, own) if s.session is None), Fraction(0))
    found.add_flags(within(window, flagged(own)))
    add_readings(found, fleet.vehicles.get(vehicle, Device(False)), window)
    add_sessions(found, fleet, vehicle, window)
    found.rejected = rejected(fleet, [vehicle], window)
    found.corrected = corrected(fleet, [vehicle], window)
    return found


def within(window: Window, shares: Iterable[Share]) -> list[Share]:
    return [share for share in shares if window.has(share.instant)]


def of_vehicle(vehicle: str, shares: Iterable[Share]) -> list[Share]:
    return [share for share in shares if share.session and share.session.vehicle == vehicle]


def add_readings(found: Figures, device: Device, window: Window) -> None:
    read = [reading for reading in device.in_order() if window.has(reading.time)]
    temps = [Fraction(reading.temp) for reading in read if reading.temp is not None]
    found.readings, found.temps, found.temp_sum = len(read), len(temps), sum(temps, Fraction(0))


def add_sessions(
    found: Figures,
    fleet: ReferenceFleet,
    vehicle: str,
    window: Window,
    meter: str | None = None,
) -> None:
    """What sessions there are in the window, and how much of them readings cover up to now.

    With a `meter`, of those on it.
    """
    device = fleet.vehicles.get(vehicle, Device(False))
    sessions = [s for s in fleet.of_vehicle(vehicle) if s.overlap(*window)]
    sessions = [s for s in sessions if meter in (None, s.meter)]
    found.sessions = len(sessions)
    for session in sessions:
        first = max(session.start, window.start)
        past = min(session.end or window.end, window.end, fleet.now)
        if first < past:
            found.session_seconds += seconds(past - first)
            add_covered(found.ac, fleet, fleet.meters[session.meter], first, past)
            add_covered(found.dc, fleet, device, first, past)


def rejected(fleet: ReferenceFleet, vehicles: Iterable[str], window: Window) -> int:
    """Readings of these vehicles and of the meters that they met in the window, each once."""
    devices = devices_of(fleet, vehicles, window)
    return sum(window.has(time) for device in devices for time in device.rejected)


def corrected(fleet: ReferenceFleet, vehicles: Iterable[str], window: Window) -> int:
    """Of the same devices."""
    devices = devices_of(fleet, vehicles, window)
    return sum(window.has(time) for device in devices for time in device.corrected())


def devices_of(fleet: ReferenceFleet, vehicles: Iterable[str], window: Window) -> list[Device]:
    """These vehicles, and the meters that they met in the window."""
    cars = [fleet.vehicles[name] for name in vehicles if name in fleet.vehicles]
    meters = {s.meter for s in fleet.sessions if s.vehicle in vehicles and s.overlap(*window)}
    return [*cars, *(fleet.meters[name] for name in meters)]


def add_covered(
    side: Side, fleet: ReferenceFleet, device: Device, first: datetime, past: datetime
) -> None:
    pace = fleet.pace(device)
    side.expected += seconds(past - first) / seconds(pace or STAMPED_PACE)
    side.seconds += seconds(covered(stretches(device, pace), first, past))


def seconds(time: timedelta) -> Fraction:
    return 3600 * hours_of(time)


def performance(
    fleet: ReferenceFleet, vehicle: str, start: datetime, end: datetime
) -> dict[str, Any]:
    """The whole answer, but for the id and the period."""
    window = Window(start, end)
    found = figures(fleet, vehicle, start, end)
    gaps_ac = [
        gap
        for meter in {session.meter for session in fleet.of_vehicle(vehicle)}
        for gap in gaps(
            fleet.meters[meter],
            within(window, of_vehicle(vehicle, shares_of_meter(fleet, meter))),
        )
    ]
    car = fleet.vehicles.get(vehicle, Device(False))
    own = shares_of_vehicle(fleet, vehicle)
    gaps_dc = gaps(car, within(window, of_vehicle(vehicle, own)))
    sessions = [s for s in fleet.of_vehicle(vehicle) if s.overlap(start, end)]
    paces = [fleet.pace(fleet.meters[session.meter]) for session in sessions]
    mismatches = [
        mismatch(gaps_ac, max(filter(None, paces), default=None)),
        mismatch(gaps_dc, fleet.pace(car)),
    ]
    observed = {"ac": typical(gaps_ac), "dc": typical(gaps_dc)}
    return {
        "metrics": found.metrics(),
        "hourlyBreakdown": hours(fleet, vehicle, window),
        "coverage": found.coverage() | {"observedSeconds": observed},
        "alerts": found.alerts(*["cadence_mismatch"] * sum(mismatches)),
    }


def hours(fleet: ReferenceFleet, vehicle: str, window: Window) -> list[dict[str, Any]]:
    """Those in which the vehicle was read, or something counts."""
    own = shares_of_vehicle(fleet, vehicle)
    found = {hour_of(share.increment.time) for share in own if window.has(share.increment.time)}
    found |= {hour_of(share.instant) for share in within(window, own)}
    for meter in {session.meter for session in fleet.of_vehicle(vehicle)}:
        of_meter = of_vehicle(vehicle, shares_of_meter(fleet, meter))
        found |= {hour_of(share.instant) for share in within(window, of_meter)}
    return [hour_figures(fleet, vehicle, window, hour) for hour in sorted(found)]


def hour_figures(
    fleet: ReferenceFleet, vehicle: str, window: Window, hour: datetime
) -> dict[str, Any]:
    start, end = max(window.start, hour), min(window.end, hour + HOUR)
    found = figures(fleet, vehicle, start, end)
    return {
        "hour": hour,
        "energyAc": found.ac.energy,
        "energyDc": found.dc.energy,
        "avgTemp": found.metrics()["averageBatteryTemp"],
        "efficiency": found.ratio,
    }


def hour_of(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def gaps(device: Device, shares: Iterable[Share]) -> list[Fraction]:
    """Seconds between each reading of the device that has one of the shares, and the one before."""
    having = {share.increment.time for share in shares}
    between = pairwise(reading.time for reading in device.in_order())
    return [seconds(t - p) for p, t in between if t in having and t - p <= REACH]


def typical(found: list[Fraction]) -> Fraction | None:
    return median(found) if found else None


def mismatch(found: list[Fraction], pace: timedelta | None) -> bool:
    """Whether readings come at quite another pace than is set, or assumed."""
    set_to = seconds(pace or STAMPED_PACE)
    return len(found) >= MANY_GAPS and not FASTER * set_to <= median(found) <= SLOWER * set_to


def session(fleet: ReferenceFleet, one: Session) -> dict[str, Any]:
    """The answer about a session, up to now: what its vehicle's figures are meanwhile."""
    end = max(one.start, fleet.now) if one.end is None else one.end
    found = figures(fleet, one.vehicle, one.start, end)
    return {
        "energyAc": found.ac.energy,
        "energyDc": found.dc.energy,
        "efficiency": found.ratio,
        "avgTemp": found.metrics()["averageBatteryTemp"],
        "coverage": found.coverage(),
        "alerts": found.alerts(),
    }
