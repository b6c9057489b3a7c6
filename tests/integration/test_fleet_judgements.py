"""Which vehicles the fleet's answer finds and counts: just those whose figures say so.

The rollups are written by the test: ratios so near to a limit, and to each other, that a quotient
of PostgreSQL's would be rounded onto it.
"""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any, NamedTuple

import httpx
import pytest

from tests.connections import connect
from tests.readings import iso

HOUR = datetime(2026, 3, 10, 10, tzinfo=UTC)
WINDOW: dict[str, Any] = {
    "startTime": iso(HOUR),
    "endTime": iso(HOUR + timedelta(hours=1)),
    "limit": 1000,
}
LIMITS = {"low_efficiency": Fraction(85, 100), "impossible_efficiency": Fraction(1)}
LITTLE = Decimal("1e-12")
ENERGIES = [Decimal(kwh) for kwh in ("1e-12", "0.000002", "3", "123456.789", "7e14", "1e25")]
SEEN = random.Random(1)


class Hour(NamedTuple):
    """What a vehicle's rollup of an hour says."""

    energy_ac: Decimal
    energy_dc: Decimal
    ac_readings: int = 60
    dc_readings: int = 60
    sessions: int = 1

    @property
    def ratio(self) -> Fraction | None:
        """DC / AC; None when nothing can be said of it."""
        judged = self.says_something and self.sessions and self.energy_ac
        return Fraction(self.energy_dc) / Fraction(self.energy_ac) if judged else None

    @property
    def says_something(self) -> bool:
        """Whether each side has readings, or energy that sessions said."""
        sides = (self.ac_readings or self.energy_ac, self.dc_readings or self.energy_dc)
        return all(sides)

    @property
    def certain(self) -> bool:
        """Whether both sides are read often enough; one reading covers a minute."""
        return min(self.ac_readings, self.dc_readings) >= 57

    @property
    def alert(self) -> str | None:
        if self.ratio is not None and self.ratio < LIMITS["low_efficiency"]:
            return "low_efficiency"
        if self.ratio is not None and self.ratio > LIMITS["impossible_efficiency"]:
            return "impossible_efficiency"
        return None


def hours() -> dict[str, Hour]:
    """Vehicles on, just below and just above both limits, certain and not; and those nobody can
    judge.
    """
    limits, offs = (Decimal("0.85"), Decimal(1)), range(-2, 3)
    found = [
        Hour(energy_ac, max(Decimal(0), limit * energy_ac + off * LITTLE), ac_readings=readings)
        for energy_ac, limit, off, readings in product(ENERGIES, limits, offs, (57, 56))
    ]
    for ratio in ("0.1", "0.9", "1.2"):
        energies = Decimal(10), Decimal(ratio) * 10
        found += [Hour(*energies), Hour(*energies, ac_readings=0), Hour(*energies, dc_readings=0)]
        found += [Hour(Decimal(0), energies[1], ac_readings=0)]
        found += [Hour(energies[0], Decimal(0), dc_readings=0)]
        found += [Hour(*energies, sessions=0), Hour(Decimal(0), energies[1])]
    found.append(Hour(Decimal(0), Decimal(0), sessions=0, ac_readings=0))
    found.append(Hour(Decimal(3), Decimal(0)))
    SEEN.shuffle(found)
    return {f"V{number:03}": hour for number, hour in enumerate(found)}


@pytest.fixture(scope="module")
def fleet(environment: dict[str, str]) -> dict[str, Hour]:
    fleet = hours()
    with connect(environment) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO vehicle_hours (hour, vehicle_id, readings, ac_readings, dc_readings,"
            " counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)"
            " VALUES (%s, %s, 50, %s, %s, 0, 0, %s, %s, 0)",
            [
                (HOUR, name, one.ac_readings, one.dc_readings, one.energy_ac, one.energy_dc)
                for name, one in fleet.items()
            ],
        )
        cursor.executemany("INSERT INTO meters (meter_id) VALUES (%s)", [(n,) for n in fleet])
        cursor.executemany("INSERT INTO vehicles (vehicle_id) VALUES (%s)", [(n,) for n in fleet])
        cursor.executemany(
            "INSERT INTO charging_sessions VALUES (DEFAULT, %s, %s, %s, %s)",
            [(n, n, HOUR, HOUR + timedelta(hours=1)) for n, one in fleet.items() if one.sessions],
        )
        connection.execute("DELETE FROM rollup_log")
    return fleet


def ask(api: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = api.get("/v1/analytics/fleet", params=WINDOW | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def codes(vehicle: dict[str, Any]) -> list[str]:
    return [alert["code"] for alert in vehicle["alerts"]]


def test_a_vehicle_is_found_by_an_alert_just_when_it_has_it(
    api: httpx.Client, fleet: dict[str, Hour]
) -> None:
    everyone = ask(api)
    assert len(everyone["vehicles"]) == everyone["vehicleCount"] == len(fleet)
    for vehicle in everyone["vehicles"]:
        alert = fleet[vehicle["vehicleId"]].alert
        assert codes(vehicle) == ([alert] if alert else []), fleet[vehicle["vehicleId"]]
    for alert, name in (
        ("low_efficiency", "lowEfficiency"),
        ("impossible_efficiency", "impossibleEfficiency"),
    ):
        found = ask(api, alert=alert)
        names = {vehicle["vehicleId"] for vehicle in found["vehicles"]}
        assert names == {name for name, one in fleet.items() if one.alert == alert}
        assert all(codes(vehicle) == [alert] for vehicle in found["vehicles"])
        assert found["alertCounts"] == everyone["alertCounts"]
        assert found["alertCounts"][name] == len(names) > 0
        certain = {name for name in names if fleet[name].certain}
        assert found["certainAlertCounts"][name] == len(certain) > 0
        for asked, wanted in ((True, certain), (False, names - certain)):
            answer = ask(api, alert=alert, certain=str(asked).lower())
            assert {vehicle["vehicleId"] for vehicle in answer["vehicles"]} == wanted
            assert {a["certain"] for v in answer["vehicles"] for a in v["alerts"]} == {asked}


def test_the_order_is_that_of_the_exact_ratios(api: httpx.Client, fleet: dict[str, Hour]) -> None:
    """Of the low ones the certain come first; how certain an impossible one is orders nothing."""

    def order(name: str) -> tuple[int, Fraction, str]:
        one = fleet[name]
        low = one.alert == "low_efficiency"
        place = 4 if one.ratio is None else 3 if not low else 1 if one.certain else 2
        return place, one.ratio or Fraction(0), name

    names = [vehicle["vehicleId"] for vehicle in ask(api)["vehicles"]]
    assert names == sorted(fleet, key=order)
    highest = [v["vehicleId"] for v in ask(api, alert="impossible_efficiency")["vehicles"]]
    wanted = [name for name, one in fleet.items() if one.alert == "impossible_efficiency"]
    assert highest == sorted(wanted, key=lambda name: (-(fleet[name].ratio or 0), name))


def test_those_that_cannot_be_judged_are_counted(api: httpx.Client, fleet: dict[str, Hour]) -> None:
    body = ask(api, limit=1)
    why = Counter(
        "noSession" if not one.sessions else "noReadings" if not one.says_something else "noEnergy"
        for one in fleet.values()
        if one.ratio is None
    )
    assert body["unjudgedCounts"] == why
    assert min(why.values()) > 0
