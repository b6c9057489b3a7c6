"""Random corrections of a fleet's readings, and what its sessions say of registers.

Corrections meet each other, readings that others brought in or moved, and readings that arrive
after them. What sessions say fits the register mostly, now and then it goes down against it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.reference import Correction, Device, Reading, ReferenceFleet, Session
from tests.reference.corrections import is_free

NEAR = timedelta(minutes=15)
LENGTHS = [timedelta(microseconds=1), *(n * NEAR for n in (1, 1, 3, 8, 120))]
SHIFTS = [
    *(timedelta(hours=n) for n in (-26, -3, -1, -1, 1, 1, 2, 11)),
    *(timedelta(seconds=n) for n in (-450, -60, -0.25, 0.000001, 1, 60, 900)),
]
actions = st.sampled_from(["void", "replace", "shift", "shift", "add"])
near_misses = st.sampled_from(
    [*["0"] * 6, "0.001", "-0.001", "0.01", "-0.01", "0.1", "-0.3", "2.5", "-7", "40"]
)


@st.composite
def corrections(draw: Any, at: list[datetime]) -> Correction:
    """One around one of these times."""
    time, length = draw(st.sampled_from(at)), draw(st.sampled_from(LENGTHS))
    first = time - draw(st.sampled_from([timedelta(), timedelta(), NEAR, length - LENGTHS[0]]))
    action, past = draw(actions), first + length
    if action == "shift":
        return Correction(action, first, past, shift=draw(st.sampled_from(SHIFTS)))
    if action == "void":
        return Correction(action, first, past)
    near = [*(t for t in at if first <= t < past), first, past - LENGTHS[0], first + length / 3]
    new = draw(st.lists(st.sampled_from(near), min_size=1, max_size=3, unique=True))
    return Correction(action, first, past, tuple(draw(brought_in(time)) for time in new))


@st.composite
def brought_in(draw: Any, time: datetime) -> Reading:
    kwh = draw(st.sampled_from(["0", "0.2", "1.7", "7.25", "310.5", "1000.1", "18212"]))
    return Reading(time, Decimal(kwh), draw(st.sampled_from([None, Decimal(31)])))


@st.composite
def correct(draw: Any, device: Device) -> None:
    """Corrections that could be made, some undone; some readings come after them."""
    late = [r for r in device.readings if not draw(st.integers(0, 7))]
    early = [reading for reading in device.readings if reading not in late]
    device.readings = early
    sent, made = device.as_sent(), device.corrections
    at = [*(reading.time for reading in sent), *(reading.time for reading in late)]
    for _ in range(draw(st.integers(1, 4)) if at else 0):
        new = draw(corrections(at))
        if is_free(sent, [*made, new]):
            made.append(new)
            at += [reading.time for reading in new.readings]
            at += [time + new.shift for time in at[:2]]
    for n in range(len(made)):
        undone = [c._replace(in_force=c.in_force and m != n) for m, c in enumerate(made)]
        if not draw(st.integers(0, 4)) and is_free(sent, undone):
            made[:] = undone
    device.readings = early + late


@st.composite
def shown(draw: Any, meter: Device, time: datetime) -> Decimal | None:
    """What a register showed, mostly, as far as its readings tell."""
    read = meter.in_order()
    near = [r.kwh for r in read if r.time <= time][-1:] + [r.kwh for r in read if r.time > time][:1]
    if not draw(st.integers(0, 3)):
        return None
    if not near:
        hours = Decimal((time - datetime(2026, 3, 10, tzinfo=UTC)).total_seconds()) / 3600
        near = [Decimal(20) + round(7 * hours, 3)]
    said: Decimal = draw(st.sampled_from(near)) + Decimal(draw(near_misses))
    return max(Decimal(0), said)


@st.composite
def spoken_for(draw: Any, fleet: ReferenceFleet) -> None:
    """Sessions say what their meters showed; of two at one instant one starts and one ends."""
    said: set[tuple[Any, ...]] = set()
    for meter in fleet.meters.values():
        meter.register = meter.register or draw(st.booleans())
    for n, session in enumerate(fleet.sessions):
        meter = fleet.meters[session.meter]
        start = draw(shown(meter, session.start))
        stop = draw(shown(meter, session.end)) if session.end else None
        for kind, time in (("start", session.start), ("stop", session.end)):
            if (session.meter, kind, time) in said:
                start, stop = None, None
        said |= set(kinds(session))
        fleet.sessions[n] = session._replace(meter_start=start, meter_stop=stop)


def kinds(session: Session) -> Iterator[tuple[Any, ...]]:
    yield session.meter, "start", session.start
    yield session.meter, "stop", session.end


@st.composite
def told_apart(draw: Any, fleets: st.SearchStrategy[ReferenceFleet]) -> ReferenceFleet:
    """One of these fleets, half of them corrected, most of them with talkative chargers."""
    fleet: ReferenceFleet = draw(fleets)
    if draw(st.booleans()):
        for device in (*fleet.meters.values(), *fleet.vehicles.values()):
            if draw(st.booleans()):
                draw(correct(device))
    if draw(st.integers(0, 3)):
        draw(spoken_for(fleet))
    return fleet
