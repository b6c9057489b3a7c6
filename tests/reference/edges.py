"""What sessions say their meter's register showed when they started and ended."""

from datetime import datetime

from tests.reference.corrections import Reading
from tests.reference.devices import REACH, Device, ReferenceFleet, Session, in_time


def edges_of_meter(fleet: ReferenceFleet, name: str) -> list[Reading]:
    """Those that are readings for increments; at an instant, what is said of its end."""
    meter, sessions = fleet.meters[name], fleet.of_meter(name)
    if not meter.register:
        return []
    found: dict[datetime, Reading] = {}
    for edge in (*starts(sessions), *stops(sessions)):
        if fits(edge, meter):
            found[edge.time] = edge
    return list(found.values())


def starts(sessions: list[Session]) -> list[Reading]:
    """Of several that start at once, that of the longest comes last."""
    ordered = sorted(sessions, key=in_time)
    return [Reading(s.start, s.meter_start) for s in ordered if s.meter_start is not None]


def stops(sessions: list[Session]) -> list[Reading]:
    """Of several that end at once, that of the longest comes last."""
    ordered = sorted(sessions, key=in_time, reverse=True)
    return [Reading(s.end, s.meter_stop) for s in ordered if s.end and s.meter_stop is not None]


def fits(edge: Reading, meter: Device) -> bool:
    """Whether the meter says nothing at that time, and nothing against it before and after."""
    read = meter.in_order()
    if any(reading.time == edge.time for reading in read):
        return False
    before = [r for r in read if edge.time - REACH <= r.time < edge.time][-1:]
    after = [r for r in read if edge.time < r.time <= edge.time + REACH][:1]
    return all(r.kwh <= edge.kwh for r in before) and all(edge.kwh <= r.kwh for r in after)
