"""To which session an increment belongs, whole or in shares, and when it counts."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from tests.reference.corrections import Reading
from tests.reference.devices import (
    MICROSECOND,
    Device,
    ReferenceFleet,
    Session,
    hours_of,
    in_time,
)
from tests.reference.edges import edges_of_meter
from tests.reference.increments import Increment, Kind, carried, increments

ORDINARY = Fraction(5, 2)
"""A gap of at most so many paces is ordinary."""
MOST_OF_INTERVAL = 2
"""An interval's value speaks of at most so many paces."""


class Share(NamedTuple):
    increment: Increment
    session: Session | None
    energy: Fraction
    estimated: Fraction
    instant: datetime


def shares_of_meter(fleet: ReferenceFleet, name: str) -> list[Share]:
    edges = edges_of_meter(fleet, name)
    return shares(fleet, fleet.meters[name], fleet.of_meter(name), edges)


def shares_of_vehicle(fleet: ReferenceFleet, name: str) -> list[Share]:
    return shares(fleet, fleet.vehicles.get(name, Device(False)), fleet.of_vehicle(name))


def shares(
    fleet: ReferenceFleet, device: Device, sessions: list[Session], edges: Sequence[Reading] = ()
) -> list[Share]:
    """All of a device's, in order of its readings; every increment has at least one."""
    pace = fleet.pace(device)
    starts = [session.start for session in sessions]
    found: list[Share] = []
    for increment in increments(device, starts, pace, fleet.max_plausible_kw, edges):
        if pace is None and increment.is_edge:
            found.append(whole(increment, going_on(increment.time, sessions)))
        elif pace is None:
            found.append(whole(increment, containing(increment.time, sessions)))
        elif is_long(device, increment, pace):
            most_kw = device.max_kw if device.max_kw is not None else fleet.max_plausible_kw
            found += shared_out(increment, sessions, Fraction(most_kw))
        else:
            found.append(ordinary(increment, gap_start(device, increment, pace), sessions))
    return found


def is_long(device: Device, increment: Increment, pace: timedelta) -> bool:
    if not device.register or increment.previous is None:
        return False
    return hours_of(increment.time - increment.previous) > ORDINARY * hours_of(pace)


def gap_start(device: Device, increment: Increment, pace: timedelta) -> datetime:
    """From when on an ordinary increment speaks."""
    if increment.previous is None:
        return increment.time - pace
    if device.register:
        return increment.previous
    return max(increment.previous, increment.time - MOST_OF_INTERVAL * pace)


def containing(time: datetime, sessions: list[Session]) -> Session | None:
    """The session that has this time, ends included; one that ends leaves it to one that does not.

    Of several that end, which are a long one and one without length, it is the latter's.
    """
    around = [s for s in sessions if s.start <= time and (s.end is None or time <= s.end)]
    staying = [s for s in around if s.end is None or time < s.end]
    return max(staying or around, key=in_time, default=None)


def going_on(time: datetime, sessions: list[Session]) -> Session | None:
    """The session that has what was drawn just before this time."""
    around = [s for s in sessions if s.start < time and (s.end is None or time <= s.end)]
    return max(around, key=in_time, default=None)


def ordinary(increment: Increment, since: datetime, sessions: list[Session]) -> Share:
    """All of it is of the session that overlaps its gap longest, the earlier of two alike."""
    overlaps = {s: s.overlap(since, increment.time) for s in sessions}
    longest = max(overlaps, key=lambda s: overlaps[s], default=None)
    if longest is None or not overlaps[longest]:
        return whole(increment, None)
    elsewhere = sum(overlaps.values(), timedelta()) - overlaps[longest]
    part = hours_of(elsewhere) / hours_of(increment.time - since)
    return whole(increment, longest)._replace(estimated=increment.energy * part)


def shared_out(increment: Increment, sessions: list[Session], most_kw: Fraction) -> Iterator[Share]:
    """By time among the sessions in a long gap; what they could not carry is of none."""
    assert increment.previous is not None
    overlaps = [(s, s.overlap(increment.previous, increment.time)) for s in sessions]
    overlaps = [(s, overlap) for s, overlap in overlaps if overlap]
    together = hours_of(sum((overlap for _, overlap in overlaps), timedelta()))
    left = increment.energy
    for session, overlap in overlaps:
        energy = increment.energy * hours_of(overlap) / together
        energy = min(energy, carried(most_kw, overlap))
        left -= energy
        yield Share(increment, session, energy, energy, instant(increment.time, session))
    if left or not overlaps:
        yield Share(increment, None, left, Fraction(0), increment.time)


def whole(increment: Increment, session: Session | None) -> Share:
    when = instant(increment.time, session)
    return Share(increment, session, increment.energy, Fraction(0), when)


def instant(time: datetime, session: Session | None) -> datetime:
    """When it counts: at its time, or while its session lasted."""
    if session is None or session.end is None or time < session.end:
        return time
    return max(session.start, session.end - MICROSECOND)


class Flags(NamedTuple):
    """What a reading is beside ordinary; of several shares it counts once, with the last one."""

    counter_resets: int
    dips: int
    spikes: int
    implausible: int

    @classmethod
    def of(cls, increment: Increment) -> "Flags":
        kind = increment.kind
        return cls(kind is Kind.RESET, kind is Kind.DIP, kind is Kind.SPIKE, increment.implausible)


def flagged(found: list[Share]) -> list[Share]:
    """Of each reading the share that its flags count with."""
    last: dict[datetime, Share] = {}
    for share in sorted(found, key=lambda share: (share.session is not None, share.instant)):
        last[share.increment.time] = share
    return list(last.values())
