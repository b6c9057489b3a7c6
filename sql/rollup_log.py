"""Writing into the rollups' log which hours of which devices have to be summed again.

The entries join the transaction of whoever stores the readings. A flush writes one entry an hour it
touches, with all devices of that hour: a few bytes a device, however many readings it has.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import psycopg

from schemas.streams import METER, VEHICLE
from schemas.streams.stream import DEVICE, TIME, Row, Stream
from schemas.streams.times import HOUR_US
from sql.named import load

SUMMED_STREAMS = (METER, VEHICLE)
"""The streams that rollups are made of; changes of others are not logged."""
FAR = 2**63


def log_changes(
    connection: psycopg.Connection[Any],
    stream: Stream,
    rows: Iterable[Sequence[Row]],
    *,
    late: bool,
) -> None:
    """Log these rows, which come by device, each device's in order of time.

    `late`: others of their devices may be newer.
    """
    if stream not in SUMMED_STREAMS:
        return
    hours: dict[int, _Hour] = {}
    for device_rows in rows:
        first, last = device_rows[0][TIME], device_rows[-1][TIME]
        if first // HOUR_US == last // HOUR_US:
            hours.setdefault(first // HOUR_US, _Hour()).add(device_rows[0][DEVICE], first, last)
        else:
            for hour, of_hour in groupby(device_rows, lambda row: row[TIME] // HOUR_US):
                times = [row[TIME] for row in of_hour]
                found = hours.setdefault(hour, _Hour())
                found.add(device_rows[0][DEVICE], times[0], times[-1])
    statement = load("rollup_log")["log_readings"]
    for _, found in sorted(hours.items()):
        # An id holds no control character, and one text is much cheaper to send than a list.
        lines = "\n".join(dict.fromkeys(found.devices))
        entry = (stream.name, lines, found.first, found.last + 1, late)
        connection.execute(statement, entry, prepare=True)


class _Hour:
    """What an entry says: which devices were read, and from when until when."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.first = FAR
        self.last = -FAR

    def add(self, device: str, first: int, last: int) -> None:
        self.devices.append(device)
        self.first = min(self.first, first)
        self.last = max(self.last, last)
