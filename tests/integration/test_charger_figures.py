"""The figures of chargers and in time, of many random fleets, against the reference and each other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import count
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
from hypothesis import given, settings

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from tests import fleets, reference, stored_fleets
from tests.agreement import agree
from tests.connections import connect
from tests.fleets import START
from tests.readings import iso
from tests.reference import Figures, ReferenceFleet
from tests.rolled_up import fleet_answer
from tests.settings import settings_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = ((START - HOUR, START + 6 * HOUR), (START + HOUR, START + 3 * HOUR))
LONG = (START - 200 * DAY, START + 100 * DAY)
SUMS = ("energy_ac", "energy_dc", "estimated_ac", "ac_seconds", "dc_seconds", "ac_readings")
NOTHING = (Figures(), Figures(ac=reference.Side(), dc=reference.Side()))


class Loaded(NamedTuple):
    prefix: str
    fleet: ReferenceFleet


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    with connect(environment) as connection:
        yield connection


@pytest.fixture(scope="module")
def loaded(environment: dict[str, str], connection: psycopg.Connection[Any]) -> list[Loaded]:
    """Fleets in PostgreSQL, and rollups of all of them."""
    topics = {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}
    found: list[Loaded] = []
    numbers = count(1)

    @settings(fleets.UNSHRUNK, max_examples=40)
    @given(fleet=fleets.fleets())
    def load(fleet: ReferenceFleet) -> None:
        found.append(Loaded(f"{next(numbers)}-", fleet))
        fleet.now = datetime.now(UTC)
        stored_fleets.load(connection, fleet, found[-1].prefix, topics)

    stored_fleets.create_days(connection)
    load()
    connection.execute(
        "INSERT INTO rollup_log (stream, devices, first, past)"
        " SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity' FROM vehicles"
    )
    now = fleets.LAST + DAY
    assert bring_up_to_date(connection, settings_of(environment), now, 300)
    assert backlog(connection).entries == 0
    return found


def get(
    api: httpx.Client, path: str, window: tuple[datetime, datetime], **query: Any
) -> dict[str, Any]:
    asked: dict[str, Any] = {"startTime": iso(window[0]), "endTime": iso(window[1])}
    answer = api.get(f"/v1/analytics/{path}", params=asked | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def of_charger(found: Figures, vehicles: int) -> dict[str, Any]:
    """What an answer says of it."""
    metrics = found.metrics() | {"vehicles": vehicles}
    coverage = found.coverage()
    for name in ("averageBatteryTemp", "readingCount"):
        del metrics[name]
    del coverage["dcEnergyOutsideSessions"]
    return {"metrics": metrics, "coverage": coverage, "alerts": found.alerts()}


@pytest.mark.parametrize("window", WINDOWS)
def test_each_charger_is_as_the_reference_says(
    api: httpx.Client, loaded: list[Loaded], window: tuple[datetime, datetime]
) -> None:
    answer = get(api, "meters", window, limit=1000)
    found = {charger["meterId"]: charger for charger in answer["meters"]}
    assert len(found) == answer["meterCount"]
    raised: list[dict[str, Any]] = []
    for prefix, fleet in loaded:
        for meter in fleet.meters:
            of_cars = reference.on_charger(fleet, meter, *window)
            whole = reference.of_charger(fleet, meter, *window)
            cars = sum(one.sessions > 0 for one in of_cars.values())
            raised += whole.alerts()
            if (one := found.pop(prefix + meter, None)) is not None:
                agree(one, of_charger(whole, cars), prefix + meter)
            else:
                assert not any((whole.sessions, whole.ac.readings, whole.dc.readings))
    assert not found
    for code, name in (("low_efficiency", "low"), ("impossible_efficiency", "impossible")):
        certain = [alert["certain"] for alert in raised if alert["code"] == code]
        assert answer["alertCounts"][f"{name}Efficiency"] == len(certain)
        assert answer["certainAlertCounts"][f"{name}Efficiency"] == sum(certain)


def test_a_chargers_vehicles_and_hours_are_as_the_reference_says(
    api: httpx.Client, loaded: list[Loaded]
) -> None:
    window = WINDOWS[0]
    for prefix, fleet in loaded[:12]:
        for meter in fleet.meters:
            answer = get(api, f"meters/{prefix}{meter}/efficiency", window, groupBy="hour")
            of_cars = reference.on_charger(fleet, meter, *window)
            cars = sum(one.sessions > 0 for one in of_cars.values())
            agree(answer, of_charger(reference.of_charger(fleet, meter, *window), cars), meter)
            found = {vehicle["vehicleId"]: vehicle for vehicle in answer["vehicles"]}
            for name, one in of_cars.items():
                if (vehicle := found.pop(prefix + name, None)) is None:
                    assert not any((one.sessions, one.ac.readings, one.dc.readings))
                    continue
                expected = of_charger(one, int(one.sessions > 0))
                expected["elsewhere"] = reference.elsewhere(fleet, meter, name, *window)
                agree(vehicle, expected, f"{prefix}{meter} {name}")
            assert not found
            assert len(answer["groups"]) == 7
            for hour in answer["groups"]:
                start, end = (datetime.fromisoformat(hour[name]) for name in ("start", "end"))
                cars = sum(
                    one.sessions > 0
                    for one in reference.on_charger(fleet, meter, start, end).values()
                )
                whole = reference.of_charger(fleet, meter, start, end)
                expected = of_charger(whole, cars)
                for name in ("rejectedReadings", "correctedReadings", "quality"):
                    del expected["coverage"][name]
                agree(hour, {name: expected[name] for name in ("metrics", "coverage")}, meter)


def test_a_vehicles_chargers_add_up_to_the_vehicle(
    loaded: list[Loaded], connection: psycopg.Connection[Any]
) -> None:
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    compared = " OR ".join(f"coalesce(c.{name}, 0) <> v.{name}" for name in SUMS)
    wrong = connection.execute(
        f"WITH c AS (SELECT hour, vehicle_id, {sums} FROM charger_hours GROUP BY 1, 2)"
        " SELECT hour, vehicle_id FROM vehicle_hours AS v FULL JOIN c USING (hour, vehicle_id)"
        f" WHERE v.hour IS NULL OR {compared}".encode()
    ).fetchall()
    assert wrong == []
    row = connection.execute("SELECT count(*), sum(energy_dc) FROM charger_hours").fetchone()
    assert row and row[0] > 100 and row[1] > 0


@pytest.mark.parametrize("by", ["hour", "day", "month"])
def test_the_fleets_groups_are_what_each_of_them_says_alone(
    api: httpx.Client, loaded: list[Loaded], by: str
) -> None:
    window = WINDOWS[0] if by == "hour" else LONG
    answer = fleet_answer(api, *window, groupBy=by)
    bounds = [(group["start"], group["end"]) for group in answer["groups"]]
    assert bounds[0][0] == answer["period"]["start"] and bounds[-1][1] == answer["period"]["end"]
    assert all(end == start for (_, end), (start, _) in zip(bounds, bounds[1:], strict=False))
    charged = [group for group in answer["groups"] if group["metrics"]["chargingSessions"]]
    assert charged
    for name in ("totalEnergyConsumedAc", "totalEnergyDeliveredDc", "readingCount"):
        groups = sum(group["metrics"][name] for group in answer["groups"])
        assert groups == pytest.approx(answer["metrics"][name], abs=0.001 * len(bounds))
    for name in ("rejectedReadings", "correctedReadings", "implausibleReadings", "spikes"):
        assert sum(g["coverage"][name] for g in answer["groups"]) == answer["coverage"][name]
    for group in charged[:8]:
        alone = (datetime.fromisoformat(group["start"]), datetime.fromisoformat(group["end"]))
        if alone[1] - alone[0] <= 31 * DAY:
            assert group["metrics"] == fleet_answer(api, *alone)["metrics"]


def test_a_vehicles_and_a_meters_groups_add_up(api: httpx.Client, loaded: list[Loaded]) -> None:
    window = (START - 3 * DAY + timedelta(minutes=7), START + 2 * DAY)
    for prefix, fleet in loaded[:8]:
        for name in fleet.vehicles:
            path = f"performance/{prefix}{name}"
            own, days = get(api, path, window), get(api, path, window, groupBy="day")
            same = ("metrics", "coverage", "alerts", "period")
            assert {part: own[part] for part in same} == {part: days[part] for part in same}
            assert (days["hourlyBreakdown"], own["groups"], len(days["groups"])) == ([], None, 6)
            for part, whole in (("energyAc", "ConsumedAc"), ("energyDc", "DeliveredDc")):
                groups = sum(group[part] for group in days["groups"])
                assert groups == pytest.approx(own["metrics"][f"totalEnergy{whole}"], abs=0.01)
            for day in days["groups"]:
                alone = get(
                    api, path, tuple(map(datetime.fromisoformat, (day["start"], day["end"])))
                )
                found = reference.figures(
                    fleet, name, *map(datetime.fromisoformat, (day["start"], day["end"]))
                )
                agree(day, {"energyAc": found.ac.energy, "efficiency": found.ratio}, prefix)
                assert day["avgTemp"] == alone["metrics"]["averageBatteryTemp"]
            year = get(api, path, LONG, groupBy="month")
            whole_of_it = reference.figures(fleet, name, *LONG)
            agree(year["metrics"], whole_of_it.metrics(), prefix)
            agree(year["coverage"], whole_of_it.coverage(), prefix)
            assert year["asOf"] and len(year["groups"]) in range(10, 12)
            months = sum(Fraction(str(group["energyDc"])) for group in year["groups"])
            assert abs(months - whole_of_it.dc.energy) < Fraction(1, 50)
        for name in fleet.meters:
            own = get(api, f"meters/{prefix}{name}", window)
            days = get(api, f"meters/{prefix}{name}", window, groupBy="day")
            assert own["metrics"] == days["metrics"] and len(days["groups"]) == 6
            for part, total in (
                ("energyAc", "totalEnergyConsumedAc"),
                ("energyInSessions", "energyInSessions"),
                ("readings", "readingCount"),
            ):
                groups = sum(group[part] for group in days["groups"])
                assert groups == pytest.approx(own["metrics"][total], abs=0.01)
