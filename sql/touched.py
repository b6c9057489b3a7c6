"""Noting in the rollups' log what was stored: whose hours have to be summed again.

Joins the transaction of whoever stores. A flush writes one row an hour it touches, with all devices
of that hour: a few bytes a device, however many readings it has.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg

from schemas.readings import SECOND_US, Row, Stream
from sql.named import load

HOUR_US = 3600 * SECOND_US


def note_stored(
    connection: psycopg.Connection[Any], stream: Stream, rows: Iterable[Sequence[Row]]
) -> None:
    """Note these rows, given by device, each device's in order of time."""
    hours: dict[int, list[str]] = {}
    for device_rows in rows:
        first, last = device_rows[0][1] // HOUR_US, device_rows[-1][1] // HOUR_US
        if first == last:
            hours.setdefault(first, []).append(device_rows[0][-1])
        else:
            for hour in {row[1] // HOUR_US for row in device_rows}:
                hours.setdefault(hour, []).append(device_rows[0][-1])
    query = load("rollups")["touch"].encode()
    for hour, devices in sorted(hours.items()):
        # An id holds no control character, and one text is much cheaper to send than a list.
        lines = "\n".join(dict.fromkeys(devices))
        connection.execute(
            query, (stream.name, lines, hour * HOUR_US, (hour + 1) * HOUR_US), prepare=True
        )
