"""How corrections of the reference get into PostgreSQL, with what follows from them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import psycopg

from tests.reference import Correction, Device
from tests.reference.devices import MICROSECOND

LONG_AGO, FAR_AHEAD = (
    datetime.fromisoformat("1990-01-01T00Z"),
    datetime.fromisoformat("2100-01-01T00Z"),
)
ENERGY = {"meter": "kwh_consumed_ac", "vehicle": "kwh_delivered_dc"}


class Stretch(NamedTuple):
    """Where readings are that were sent in [first, past)."""

    first: datetime
    past: datetime
    moved_by: timedelta | None = timedelta()
    number: int = 0

    def corrected(self, by: Correction, number: int) -> "Iterable[Stretch]":
        if self.moved_by is None:
            return [self]
        first = min(max(by.first - self.moved_by, self.first), self.past)
        past = max(min(by.past - self.moved_by, self.past), first)
        moved = None if by.action != "shift" else self.moved_by + by.shift
        inside = Stretch(first, past, moved, number)
        parts = [self._replace(past=first), inside, self._replace(first=past)]
        return [part for part in parts if part.first < part.past]


def stretches(corrections: list[Correction]) -> list[Stretch]:
    found = [Stretch(LONG_AGO, FAR_AHEAD)]
    for number, correction in enumerate(corrections, 1):
        if correction.in_force and correction.action != "add":
            found = [part for one in found for part in one.corrected(correction, number)]
    return [stretch for stretch in found if stretch.number]


def made(correction: Correction) -> tuple[Any, ...]:
    """Its row, in which nobody looks at the readings."""
    shift = micros(correction.shift) if correction.action == "shift" else None
    readings = "[]" if correction.action in ("replace", "add") else None
    undone = None if correction.in_force else correction.past
    return correction.first, correction.past, correction.action, shift, readings, undone


def micros(time: timedelta | None) -> int | None:
    return None if time is None else time // MICROSECOND


def correct(
    connection: psycopg.Connection[Any], stream: str, device_id: str, device: Device
) -> None:
    """What corrections in force make of the device's readings; what was there is gone."""
    brought_in = f"{stream}_corrected_readings"
    for table, name in (
        ("corrections", "device_id"),
        ("corrected_stretches", "device_id"),
        (brought_in, f"{stream}_id"),
    ):
        connection.execute(f"DELETE FROM {table} WHERE {name} = %s".encode(), (device_id,))
    cursor = connection.cursor()
    cursor.executemany(
        "INSERT INTO corrections (stream, device_id, first, past, action, shift_by, readings,"
        " undone_at, reason, made_by) VALUES (%s, %s, %s, %s, %s, %s * interval '1 microsecond',"
        " %s, %s, 'of a test', 'a test')",
        [(stream, device_id, *made(correction)) for correction in device.corrections],
    )
    cursor.executemany(
        "INSERT INTO corrected_stretches (stream, device_id, first, past, moved_by, number)"
        " VALUES (%s, %s, %s, %s, %s * interval '1 microsecond', %s)",
        [
            (stream, device_id, s.first, s.past, micros(s.moved_by), s.number)
            for s in stretches(device.corrections)
        ],
    )
    new = Device(False, corrections=device.corrections).placed()
    temp = ", battery_temp" if stream == "vehicle" else ""
    cursor.executemany(
        f'INSERT INTO {brought_in} ({stream}_id, number, "timestamp", {ENERGY[stream]}{temp})'
        f" VALUES (%s, %s, %s, %s{', %s' if temp else ''})".encode(),
        [(device_id, p.number, *p.reading[: 3 if temp else 2]) for p in new],
    )
