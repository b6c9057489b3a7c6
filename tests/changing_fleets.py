"""A fleet whose readings, corrections, sessions and devices change, in PostgreSQL as in Python."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import psycopg

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from schemas.streams import METER, VEHICLE
from schemas.streams.times import to_micros
from sql import store
from tests import fleets, stored_fleets
from tests.charger_figures import chargers_agree, get
from tests.fleets import LAST, START
from tests.reference import Correction, Device, Reading, ReferenceFleet, Session
from tests.reference.corrections import is_free
from tests.rolled_up import fleet_answer, vehicles_agree
from tests.settings import settings_of
from tests.stored_corrections import post

DAY = timedelta(days=1)
NOW = LAST + DAY
EVERYTHING = (START - 30 * DAY, START + DAY)
FIRST_DAY = (START.replace(hour=0), START.replace(hour=0) + DAY)
numbers = count(1)


def flush(
    connection: psycopg.Connection[Any], device_id: str, vehicle: bool, *new: Reading
) -> None:
    """Store readings as a worker stages them."""
    rows = []
    for reading in new:
        time, kwh = to_micros(reading.time), float(reading.kwh)
        if vehicle:
            temp: Any = None if reading.temp is None else float(reading.temp)
            row = VEHICLE.row(device_id, time, kwhDeliveredDc=kwh, soc=50.0, batteryTemp=temp)
        else:
            row = METER.row(device_id, time, kwhConsumedAc=kwh, voltage=230.0)
        rows.append(row)
    with connection.transaction():
        store.store_staged(connection, VEHICLE if vehicle else METER, rows)


class Changing:
    """A fleet whose readings, sessions and devices change, here and in PostgreSQL alike."""

    def __init__(
        self,
        environment: dict[str, str],
        api: httpx.Client,
        connection: psycopg.Connection[Any],
        staging: psycopg.Connection[Any],
    ) -> None:
        self.settings, self.api = settings_of(environment), api
        self.connection, self.staging = connection, staging
        self.fleet, self.prefix = ReferenceFleet(now=datetime.now(UTC)), f"{next(numbers)}-"
        self.corrections: dict[tuple[bool, str, int], str] = {}
        """Their ids, by device and place."""

    def devices(self, vehicle: bool) -> dict[str, Device]:
        return self.fleet.vehicles if vehicle else self.fleet.meters

    def read(self, vehicle: bool, name: str, *new: Reading) -> None:
        self.devices(vehicle)[name].readings += new
        flush(self.staging, self.prefix + name, vehicle, *new)

    def start(self, session: Session) -> None:
        self.fleet.sessions.append(session)
        stored_fleets.start(self.connection, self.prefix, [session])

    def move(self, number: int, start: datetime, end: datetime | None) -> None:
        old = self.fleet.sessions[number]
        self.fleet.sessions[number] = old._replace(start=start, end=end)
        self.connection.execute(
            "UPDATE charging_sessions SET started_at = %s, ended_at = %s WHERE meter_id = %s"
            " AND vehicle_id = %s AND started_at = %s AND ended_at IS NOT DISTINCT FROM %s",
            (start, end, self.prefix + old.meter, self.prefix + old.vehicle, old.start, old.end),
        )

    def become(self, vehicle: bool, name: str, other: Device) -> None:
        """It keeps its readings and what is said of them, and is another device otherwise."""
        old = self.devices(vehicle)[name]
        kept = ("readings", "rejected", "corrections")
        other = Device(**vars(other) | {part: getattr(old, part) for part in kept})
        self.devices(vehicle)[name] = other
        stream = "vehicle" if vehicle else "meter"
        stored_fleets.describe(self.connection, stream, self.prefix + name, other)
        stored_fleets.exchange(self.connection, stream, self.prefix + name, other)

    def say(self, number: int, is_start: bool, by: Decimal) -> None:
        """What a session says of its meter: so much more than its newest reading by then."""
        session = self.fleet.sessions[number]
        time, name = (session.start, "meter_start") if is_start else (session.end, "meter_stop")
        if time is None:
            return
        read = [r.kwh for r in self.fleet.meters[session.meter].in_order() if r.time <= time]
        kwh = max(Decimal(0), by + (read[-1] if read else 20))
        said = session._asdict() | {name: kwh}
        self.fleet.sessions[number] = Session(**said)
        self.connection.execute(
            f"UPDATE charging_sessions SET {name} = %s WHERE meter_id = %s AND vehicle_id = %s"
            " AND started_at = %s AND ended_at IS NOT DISTINCT FROM %s".encode(),
            (kwh, self.prefix + session.meter, self.prefix + session.vehicle, *session[2:4]),
        )

    def correct(self, vehicle: bool, name: str, correction: Correction) -> None:
        """It is made unless it brings two readings to one instant."""
        device, stream = self.devices(vehicle)[name], "vehicle" if vehicle else "meter"
        sent, made = device.as_sent(), device.corrections
        correction = correction._replace(in_force=True)
        answer = post(self.api, stream, self.prefix + name, correction)
        assert answer.status_code in (201, 409), answer.text
        if is_free(sent, made):
            free = is_free(sent, [*made, correction])
            assert answer.status_code == (201 if free else 409), answer.text
        if answer.status_code == 201:
            made.append(correction)
            self.corrections[vehicle, name, len(made) - 1] = answer.json()["correctionId"]

    def undo(self, vehicle: bool, name: str, number: int) -> None:
        """It is undone unless that brings two readings to one instant."""
        device = self.devices(vehicle)[name]
        sent, made = device.as_sent(), device.corrections
        if number >= len(made) or not made[number].in_force:
            return
        left = [*made[:number], made[number]._replace(in_force=False), *made[number + 1 :]]
        answer = self.api.delete(f"/v1/corrections/{self.corrections[vehicle, name, number]}")
        assert answer.status_code in (204, 409), answer.text
        if is_free(sent, made):
            assert answer.status_code == (204 if is_free(sent, left) else 409), answer.text
        if answer.status_code == 204:
            made[:] = left

    def agree(self, *windows: tuple[datetime, datetime]) -> None:
        assert bring_up_to_date(self.connection, self.settings, NOW, 60)
        assert backlog(self.connection).entries == 0
        for window in (EVERYTHING, FIRST_DAY, *windows):
            vehicles_agree(fleet_answer(self.api, *window), self.fleet, self.prefix)

    def agree_on_chargers(self) -> None:
        for window in (EVERYTHING, FIRST_DAY):
            chargers_agree(get(self.api, "meters", window, limit=1000), self.fleet, self.prefix)


def apply(changing: Changing, kind: str, *what: Any) -> None:
    """One random change, if it can be."""
    if kind in ("read", "become"):
        vehicle, number, new = what
        name = f"{'V' if vehicle else 'M'}{number}"
        if kind == "read":
            changing.read(vehicle, name, *new)
        else:
            changing.become(vehicle, name, new)
    elif kind == "move" and what[0] < len(changing.fleet.sessions):
        number, *times = what
        start, end = sorted(times)
        moved = changing.fleet.sessions[number]._replace(start=start, end=end)
        others = [s for n, s in enumerate(changing.fleet.sessions) if n != number]
        if not any(fleets.clash(moved, other) for other in others):
            changing.move(number, start, end)
    elif kind in ("correct", "undo"):
        vehicle, number, new = what
        name = f"{'V' if vehicle else 'M'}{number}"
        (changing.correct if kind == "correct" else changing.undo)(vehicle, name, new)
    elif kind == "say" and what[0] < len(changing.fleet.sessions):
        changing.say(*what)
    elif kind == "catch up":
        changing.agree()
