"""A charger's figures: those of the sessions on it, of each vehicle, and of all."""

from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.reference.devices import ReferenceFleet
from tests.reference.figures import add_sessions, of_vehicle, within
from tests.reference.of_fleets import together
from tests.reference.shares import flagged, shares_of_meter, shares_of_vehicle
from tests.reference.sums import Figures, Window, ratio, total


def on_charger(
    fleet: ReferenceFleet, meter: str, start: datetime, end: datetime
) -> dict[str, Figures]:
    """Of each vehicle that ever had a session on it."""
    window = Window(start, end)
    names = sorted({session.vehicle for session in fleet.of_meter(meter)})
    return {name: pair(fleet, meter, name, window) for name in names}


def pair(fleet: ReferenceFleet, meter: str, vehicle: str, window: Window) -> Figures:
    """A vehicle's sessions on a charger."""
    found = Figures()
    ac = of_vehicle(vehicle, shares_of_meter(fleet, meter))
    found.ac.add(within(window, ac))
    found.add_flags(within(window, flagged(ac)))
    own = shares_of_vehicle(fleet, vehicle)
    found.dc.add([s for s in within(window, own) if s.session and s.session.meter == meter])
    flags = [s for s in flagged(own) if s.session and s.session.meter == meter]
    found.add_flags(within(window, flags))
    add_sessions(found, fleet, vehicle, window, meter)
    count_amiss(found, fleet, meter, [vehicle] if found.sessions else [], window)
    return found


def of_charger(fleet: ReferenceFleet, meter: str, start: datetime, end: datetime) -> Figures:
    """Of all vehicles on it."""
    known = on_charger(fleet, meter, start, end)
    found = together(known.values())
    met = [name for name, one in known.items() if one.sessions]
    count_amiss(found, fleet, meter, met, Window(start, end))
    return found


def count_amiss(
    found: Figures, fleet: ReferenceFleet, meter: str, vehicles: list[str], window: Window
) -> None:
    """Of the charger in the window, and of the vehicles in their sessions on it."""
    stretches = [(fleet.meters[meter], window)]
    for session in fleet.of_meter(meter):
        if session.vehicle in vehicles and session.vehicle in fleet.vehicles:
            first, past = (
                max(session.start, window.start),
                min(session.end or window.end, window.end),
            )
            if first < past:
                stretches.append((fleet.vehicles[session.vehicle], Window(first, past)))
    found.rejected = sum(w.has(time) for one, w in stretches for time in one.rejected)
    found.corrected = sum(w.has(time) for one, w in stretches for time in one.corrected())


def elsewhere(
    fleet: ReferenceFleet, meter: str, vehicle: str, start: datetime, end: datetime
) -> dict[str, Any]:
    """The vehicle's sessions on other chargers in the window."""
    window = Window(start, end)
    others = {s.meter for s in fleet.of_vehicle(vehicle) if s.overlap(start, end)} - {meter}
    pairs = [pair(fleet, other, vehicle, window) for other in others]
    ac: Fraction = total(one.ac.energy for one in pairs)
    dc: Fraction = total(one.dc.energy for one in pairs)
    return {"efficiencyRatio": ratio(dc, ac), "energyAc": ac, "chargers": len(others)}
