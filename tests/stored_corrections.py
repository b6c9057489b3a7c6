"""How corrections of the reference get into PostgreSQL, with what follows from them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import httpx
import psycopg

from tests.readings import iso
from tests.reference import Correction, Device, Reading
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
    numbers: tuple[int, ...] = ()

    def corrected(self, by: Correction, number: int) -> "Iterable[Stretch]":
        if self.moved_by is None:
            return [self]
        first = min(max(by.first - self.moved_by, self.first), self.past)
        past = max(min(by.past - self.moved_by, self.past), first)
        moved = None if by.action != "shift" else self.moved_by + by.shift
        inside = Stretch(first, past, moved, (number, *self.numbers))
        parts = [self._replace(past=first), inside, self._replace(first=past)]
        return [part for part in parts if part.first < part.past]


def stretches(corrections: list[Correction]) -> list[Stretch]:
    found = [Stretch(LONG_AGO, FAR_AHEAD)]
    for number, correction in enumerate(corrections, 1):
        if correction.in_force and correction.action != "add":
            found = [part for one in found for part in one.corrected(correction, number)]
    return [stretch for stretch in found if stretch.numbers]


def made(correction: Correction) -> tuple[Any, ...]:
    """Its row, in which nobody looks at the readings."""
    shift = micros(correction.shift) if correction.action == "shift" else None
    readings = "[]" if correction.action in ("replace", "add") else None
    undone = None if correction.in_force else correction.past
    return correction.first, correction.past, correction.action, shift, readings, undone


def micros(time: timedelta | None) -> int | None:
    return None if time is None else time // MICROSECOND


def post(api: httpx.Client, stream: str, device_id: str, correction: Correction) -> httpx.Response:
    """Ask for it over HTTP."""
    body: dict[str, Any] = {
        "deviceId": device_id,
        "streamType": stream,
        "startTime": iso(correction.first),
        "endTime": iso(correction.past),
        "action": correction.action,
        "reason": "of a test",
    }
    if correction.action == "shift":
        body["shiftSeconds"] = correction.shift.total_seconds()
    if correction.action in ("replace", "add"):
        body["readings"] = [as_sent(stream, reading) for reading in correction.readings]
    return api.post("/v1/corrections", json=body)


def as_sent(stream: str, reading: Reading) -> dict[str, Any]:
    time, kwh = iso(reading.time), float(reading.kwh)
    if stream == "meter":
        return {"timestamp": time, "kwhConsumedAc": kwh}
    temp = None if reading.temp is None else float(reading.temp)
    return {"timestamp": time, "kwhDeliveredDc": kwh, "batteryTemp": temp}


def correct(
    connection: psycopg.Connection[Any], stream: str, device_id: str, device: Device
) -> None:
    """What corrections in force make of the readings of a device that has none yet."""
    brought_in = f"{stream}_corrected_readings"
    cursor = connection.cursor()
    cursor.executemany(
        "INSERT INTO corrections (stream, device_id, first, past, action, shift_by, readings,"
        " undone_at, reason, made_by) VALUES (%s, %s, %s, %s, %s, %s * interval '1 microsecond',"
        " %s, %s, 'of a test', 'a test')",
        [(stream, device_id, *made(correction)) for correction in device.corrections],
    )
    new = Device(False, corrections=device.corrections).placed()
    found = stretches(device.corrections)
    ages = [(), *sorted({s.numbers for s in found} | {p.numbers for p in new})]
    cursor.executemany(
        "INSERT INTO corrected_stretches (stream, device_id, first, past, moved_by, rank)"
        " VALUES (%s, %s, %s, %s, %s * interval '1 microsecond', %s)",
        [
            (stream, device_id, s.first, s.past, micros(s.moved_by), ages.index(s.numbers))
            for s in found
        ],
    )
    temp = ", battery_temp" if stream == "vehicle" else ""
    cursor.executemany(
        f'INSERT INTO {brought_in} ({stream}_id, rank, "timestamp", {ENERGY[stream]}{temp})'
        f" VALUES (%s, %s, %s, %s{', %s' if temp else ''})".encode(),
        [(device_id, ages.index(p.numbers), *p.reading[: 3 if temp else 2]) for p in new],
    )
