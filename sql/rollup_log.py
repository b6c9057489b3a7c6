"""Writing into the rollups' log which hours of which devices have to be summed again.

The entries join the transaction of whoever stores the readings. A flush writes one entry an hour it
touches, with all devices of that hour: a few bytes a device, however many readings it has.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from schemas.streams import METER, VEHICLE
from schemas.streams.stream import DEVICE, TIME, Row, Stream
from schemas.streams.times import HOUR_US
from sql.named import load

SUMMED_STREAMS = (METER, VEHICLE)
"""The streams that rollups are made of; changes of others are not logged."""


def log_changes(
    connection: psycopg.Connection[Any], stream: Stream, rows: Iterable[Sequence[Row]]
) -> None:
    """Log the hours of these rows, which come by device, each device's in order of time."""
    if stream not in SUMMED_STREAMS:
        return
    hours: dict[int, list[str]] = {}
    for device_rows in rows:
        first, last = device_rows[0][TIME] // HOUR_US, device_rows[-1][TIME] // HOUR_US
        if first == last:
            hours.setdefault(first, []).append(device_rows[0][DEVICE])
        else:
            for hour in {row[TIME] // HOUR_US for row in device_rows}:
                hours.setdefault(hour, []).append(device_rows[0][DEVICE])
    statement = load("rollup_log")["log_readings"]
    for hour, devices in sorted(hours.items()):
        # An id holds no control character, and one text is much cheaper to send than a list.
        lines = "\n".join(dict.fromkeys(devices))
        entry = (stream.name, lines, hour * HOUR_US, (hour + 1) * HOUR_US)
        connection.execute(statement, entry, prepare=True)
