"""Random fleets for hypothesis, dense in what real meters do.

A third of them is wild: anything may meet anything, on a coarse grid of time and a microsecond
beside it, so that readings, sessions, hours and windows often meet exactly. A third is lifelike:
devices report steadily while sessions follow one another, and now and then something goes wrong.
A third is as nobody configures it. All values have few decimals. Of half of them readings are
corrected, and of most of them sessions say what registers showed (`corrected_fleets`).
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.corrected_fleets import told_apart
from tests.reference import Device, Exchange, Reading, ReferenceFleet, Session

START = datetime(2026, 3, 10, 22, tzinfo=UTC)
UNSHRUNK = settings(
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
"""The same fleets each time; without `derandomize`, and with more examples, others. A failing one
is shown as it is: making it smaller takes minutes with a database."""
GRID = timedelta(minutes=15)
SLOTS = 20
"""Of the grid, after START: the time most things happen in."""
LAST = START + timedelta(hours=40)
"""Nothing is read after it."""
LONG_AGO = (-96 * 30, -96 * 31, -96 * 31 - 1, -96 * 33)
"""Slots before START where a reading may lie that is the one before another, or not. Of several
there the product follows a chain only as far as its reach, the reference to its beginning."""
PACES_S = (None, 10, 60, 300, 900, 3600)

ticks = st.sampled_from([-1, 0, 0, 0, 1]).map(lambda n: timedelta(microseconds=n))
times = st.builds(lambda slot, tick: START + slot * GRID + tick, st.integers(0, SLOTS), ticks)
long_ago = st.builds(lambda s, t: START + s * GRID + t, st.sampled_from(LONG_AGO), ticks)
shortly_before = st.sampled_from([START - n * GRID for n in (96, 3, 1)])
before = st.builds(lambda time, tick: time + tick, shortly_before, ticks)
all_times = st.one_of(times, times, times, times, before)
amounts = st.integers(0, 50_000).map(lambda n: Decimal(n) / 1000)
wild_amounts = st.one_of(amounts, amounts, st.sampled_from([Decimal(2500), Decimal(2_147_483_647)]))
temps = st.one_of(st.none(), st.integers(-100, 450).map(lambda n: Decimal(n) / 10))
steps = st.sampled_from(
    [
        *("0", "0.1", "0.2", "0.5", "1.7", "7.25", "7.25"),
        *("-0.1", "-0.1", "-0.2", "-0.201", "-0.15", "-1", "-4", "-40"),
        *("0.201", "30", "60", "-60", "900", "-900", "30000", "-30000"),
    ]
).map(Decimal)
"""From a register's reading to the next one; those that fall far and rise again are spikes."""


known = st.one_of(st.none(), amounts)
exchanges = st.lists(
    st.builds(Exchange, times, known, known), max_size=3, unique_by=lambda exchange: exchange.at
)


def properties(register: bool) -> st.SearchStrategy[Device]:
    """A device without readings."""
    kwh = st.sampled_from([Decimal(0), Decimal("0.1"), Decimal(1)])
    maybe_list = st.one_of(st.just([]), st.lists(times, max_size=2))
    return st.builds(
        Device,
        st.just(register),
        pace_s=st.sampled_from(PACES_S),
        tolerance=st.one_of(st.none(), st.none(), kwh),
        modulus=st.sampled_from([None, None, None, Decimal(100), Decimal(1000)]),
        max_kw=st.sampled_from([None, None, Decimal(5), Decimal(22), Decimal(150)]),
        exchanges=st.one_of(st.just([]), exchanges),
        rejected=maybe_list,
    )


@st.composite
def wild_readings(draw: Any, register: bool, least: int = 2) -> list[Reading]:
    """In the order in which they arrive; several may have one time."""
    at = draw(st.lists(all_times, min_size=least, max_size=24))
    at = sorted([*at, *draw(st.lists(long_ago, max_size=1))])
    if register:
        first = draw(st.sampled_from([Decimal(0), Decimal("310.2"), Decimal(1000)]))
        rises = draw(st.lists(steps, min_size=len(at) - 1, max_size=len(at) - 1))
        said = [*accumulate(rises, lambda old, step: max(Decimal(0), old + step), initial=first)]
    else:
        said = draw(st.lists(wild_amounts, min_size=len(at), max_size=len(at)))
    found = [Reading(time, kwh, draw(temps)) for time, kwh in zip(at, said, strict=True)]
    return draw(st.permutations(found)) if draw(st.booleans()) else found


@st.composite
def wild_devices(draw: Any) -> Device:
    register = draw(st.booleans())
    device: Device = draw(properties(register))
    device.readings = draw(wild_readings(register, least=8))
    return device


@st.composite
def steady_devices(draw: Any, kw: Decimal) -> Device:
    """It reports at the pace that it is set to, or that nobody says, and carries this power."""
    register, pace_s = draw(st.booleans()), draw(st.sampled_from([60, 300, 300, 600, 900, 1800]))
    count = min(draw(st.integers(12, 36)), 4 * 3600 // pace_s)
    step = round(kw * pace_s / 3600, 3)
    offset = timedelta(seconds=draw(st.sampled_from([-pace_s, 0, 0, 1, 13, pace_s // 2])))
    at = [START + offset + n * timedelta(seconds=pace_s) for n in range(count)]
    base = draw(st.sampled_from([Decimal(0), Decimal("999.5"), Decimal("18210.4")]))
    said = [base + n * step for n in range(count)] if register else [step] * count
    device: Device = draw(properties(register))
    device.pace_s = draw(st.sampled_from([pace_s, pace_s, pace_s, None]))
    device.readings = [Reading(t, kwh, Decimal(25)) for t, kwh in zip(at, said, strict=True)]
    if calm := draw(st.booleans()):
        device.exchanges, device.rejected, device.max_kw = [], [], None
    for _ in range(draw(st.integers(0, 1 if calm else 4))):
        go_wrong(device, draw(st.integers(1, count - 1)), *draw(troubles))
    return device


troubles = st.tuples(
    st.sampled_from(["dip", "zero", "jump", "reset", "gap", "gap", "late", "double", "no temp"]),
    st.integers(1, 12),
    steps,
)


def go_wrong(device: Device, n: int, what: str, many: int, by: Decimal) -> None:
    """Something happens to the nth reading, or from it on."""
    found = device.readings
    if n >= len(found):
        return
    now = found[n]
    if what == "dip":
        found[n] = now._replace(kwh=max(Decimal(0), now.kwh - Decimal("0.1") * many))
    elif what == "zero":
        found[n] = now._replace(kwh=Decimal(0))
    elif what == "jump":
        found[n] = now._replace(kwh=max(Decimal(0), now.kwh + by))
    elif what == "reset":
        found[n:] = [r._replace(kwh=max(Decimal(0), r.kwh - now.kwh)) for r in found[n:]]
    elif what == "gap":
        del found[n : n + many]
    elif what == "late":
        found.append(found.pop(n))
    elif what == "double":
        found.append(now._replace(kwh=now.kwh + 1))
    else:
        found[n] = now._replace(temp=None)


def add_session(fleet: ReferenceFleet, session: Session) -> None:
    if not any(clash(session, other) for other in fleet.sessions):
        fleet.sessions.append(session)


@st.composite
def wild_fleets(draw: Any) -> ReferenceFleet:
    """Three meters, two vehicles; sessions that lie anywhere."""
    fleet = ReferenceFleet(
        {f"M{n}": draw(wild_devices()) for n in range(3)},
        {f"V{n}": draw(wild_devices()) for n in range(2)},
    )
    if not draw(st.integers(0, 3)):
        fleet.meters["M0"].readings = []
    for _ in range(draw(st.integers(2, 8))):
        meter = draw(st.sampled_from([*fleet.meters]))
        vehicle = draw(st.sampled_from([*fleet.vehicles]))
        start, end = sorted((draw(times), draw(times)))
        add_session(fleet, Session(meter, vehicle, start, end if draw(st.integers(0, 5)) else None))
    return fleet


@st.composite
def lifelike_fleets(draw: Any) -> ReferenceFleet:
    """Two meters, two vehicles; on each meter one session follows the other, some at once."""
    fleet = ReferenceFleet(
        {f"M{n}": draw(steady_devices(Decimal(12))) for n in range(2)},
        {f"V{n}": draw(steady_devices(Decimal(11))) for n in range(2)},
    )
    for meter in fleet.meters:
        time = START + timedelta(seconds=draw(st.sampled_from([0, 0, 60, 440, 1700])))
        for minutes in draw(st.lists(st.sampled_from([0, 5, 5, 17, 17, 60, 90]), max_size=6)):
            end = time + timedelta(minutes=minutes)
            vehicle = draw(st.sampled_from([*fleet.vehicles]))
            ended = end if time < START + timedelta(hours=2) or draw(st.booleans()) else None
            add_session(fleet, Session(meter, vehicle, time, ended))
            time = end + timedelta(seconds=draw(st.sampled_from([0, 0, 0, 1, 100, 900])))
    return fleet


@st.composite
def ordinary_fleets(draw: Any) -> ReferenceFleet:
    """Two meters, two vehicles as nobody configures them: energy once a minute, few sessions.

    Some readings lie exactly on sessions' ends, and now and then one is missing or absurd.
    """
    fleet = ReferenceFleet(
        {f"M{n}": draw(ordinary_devices()) for n in range(2)},
        {f"V{n}": draw(ordinary_devices()) for n in range(2)},
    )
    for vehicle in fleet.vehicles:
        for slot in draw(st.lists(st.integers(0, 10), max_size=3, unique=True)):
            start = START + slot * GRID + draw(ticks)
            end = start + timedelta(minutes=draw(st.sampled_from([2, 5, 14, 15, 29]))) + draw(ticks)
            meter = draw(st.sampled_from([*fleet.meters]))
            last = slot == 10 and draw(st.booleans())
            add_session(fleet, Session(meter, vehicle, start, None if last else end))
    return fleet


@st.composite
def ordinary_devices(draw: Any) -> Device:
    minute = timedelta(minutes=1)
    first = START + draw(st.integers(-20, 20)) * minute + draw(ticks)
    first += timedelta(seconds=draw(st.sampled_from([0, 0, 0, 1, 30])))
    kwh = draw(st.sampled_from([Decimal("0.117"), Decimal("0.25")]))
    device = Device(False)
    device.readings = [
        Reading(first + n * minute, kwh + Decimal(n % 7) / 1000, Decimal(25)) for n in range(160)
    ]
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        what = draw(st.sampled_from(["gap", "jump", "no temp"]))
        go_wrong(device, draw(st.integers(1, 140)), what, draw(st.integers(1, 4)), draw(steps))
    return device


def fleets() -> st.SearchStrategy[ReferenceFleet]:
    return told_apart(st.one_of(wild_fleets(), lifelike_fleets(), ordinary_fleets()))


windows = st.one_of(
    st.just((START - GRID, START + (SLOTS + 1) * GRID)),
    st.tuples(times, times).map(lambda pair: tuple(sorted(pair))).filter(lambda p: p[0] < p[1]),
)
cuts = st.lists(
    st.builds(lambda t, s: t + timedelta(seconds=s), times, st.integers(-40, 400)), max_size=6
)


def clash(one: Session, other: Session) -> bool:
    """Whether they cannot both be. Of two without length at one instant none comes first."""
    if one.meter != other.meter and one.vehicle != other.vehicle:
        return False
    if one.start == one.end or other.start == other.end:
        return (one.start, one.end) == (other.start, other.end)
    return (one.end is None or other.start < one.end) and (
        other.end is None or one.start < other.end
    )
