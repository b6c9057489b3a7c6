"""How much of a time a device's readings speak for."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from tests.reference.devices import REACH, STAMPED_PACE, Device
from tests.reference.shares import MOST_OF_INTERVAL

Stretch = tuple[datetime, datetime]


def stretches(device: Device, pace: timedelta | None) -> Iterator[Stretch]:
    """What the readings cover, each stretch once or several times."""
    pace = pace or STAMPED_PACE
    times = [reading.time for reading in device.in_order()]
    for time in times[:1]:
        yield time - pace, time
    for time in times[-1:]:
        yield time, time + pace
    for previous, time in pairwise(times):
        gap = time - previous
        if gap > REACH:
            yield previous, previous + pace
            yield time - pace, time
        elif device.register:
            yield previous, time if gap <= 2.5 * pace else previous + pace
        else:
            yield max(previous, time - MOST_OF_INTERVAL * pace), time
            yield previous, min(time, previous + pace)


def covered(found: Iterable[Stretch], start: datetime, end: datetime) -> timedelta:
    """How much of [start, end) lies in any of these stretches."""
    total, reached = timedelta(), start
    for first, past in sorted(found):
        first, past = max(first, reached), min(past, end)
        if first < past:
            total += past - first
            reached = past
    return total
