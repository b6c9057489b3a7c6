"""Many random fleets summed up at once: counts, order, chargers, and groups of hours and days."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from tests import fleets, reference, stored_fleets
from tests.agreement import agree
from tests.charger_figures import (
    chargers_agree,
    counts_agree,
    get,
    groups_agree,
    in_order,
    times,
    vehicles_on_it_agree,
    whole_charger,
)
from tests.connections import connect
from tests.fleets import START
from tests.reference import ReferenceFleet
from tests.rolled_up import fleet_answer, totals_agree, vehicles_agree
from tests.settings import settings_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WINDOWS = (
    (START - HOUR, START + 6 * HOUR),
    (START, START + 2 * HOUR),
    (START + 2 * HOUR, START + 3 * HOUR),
    (START - timedelta(days=20), START + timedelta(days=2)),
)
YEAR = (START - 200 * DAY, START + 100 * DAY)
SUMS = ("energy_ac", "energy_dc", "estimated_ac", "ac_seconds", "dc_seconds", "ac_readings")


class Loaded(NamedTuple):
    prefix: str
    fleet: ReferenceFleet


@pytest.fixture(scope="module")
def loaded(environment: dict[str, str]) -> list[Loaded]:
    """Fleets in PostgreSQL, and rollups of all of them."""
    topics = {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}
    found: list[Loaded] = []
    numbers = count(1)

    @settings(fleets.UNSHRUNK, max_examples=60)
    @given(fleet=fleets.fleets())
    def load(fleet: ReferenceFleet) -> None:
        found.append(Loaded(f"{next(numbers)}-", fleet))
        fleet.now = datetime.now(UTC)
        stored_fleets.load(connection, fleet, found[-1].prefix, topics)

    with connect(environment) as connection:
        stored_fleets.create_days(connection)
        load()
        connection.execute(
            "INSERT INTO rollup_log (stream, devices, first, past)"
            " SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity' FROM vehicles"
        )
        now = fleets.LAST + timedelta(days=1)
        assert bring_up_to_date(connection, settings_of(environment), now, 300)
        assert backlog(connection).entries == 0
    return found


@pytest.mark.parametrize("window", WINDOWS)
def test_vehicles_and_totals(
    api: httpx.Client, loaded: list[Loaded], window: tuple[datetime, datetime]
) -> None:
    answer = fleet_answer(api, *window)
    for one in loaded:
        vehicles_agree(answer, one.fleet, one.prefix)
    totals_agree(answer, [one.fleet for one in loaded])


def test_certain_and_uncertain_alerts_are_kept_apart(
    api: httpx.Client, loaded: list[Loaded]
) -> None:
    everything = fleet_answer(api, *WINDOWS[0])["vehicles"]
    for certain in (True, False):
        asked = fleet_answer(api, *WINDOWS[0], certain="true" if certain else "false")["vehicles"]
        expected = [v for v in everything if any(a["certain"] is certain for a in v["alerts"])]
        assert [v["vehicleId"] for v in asked] == [v["vehicleId"] for v in expected]


def test_low_ones_of_which_it_is_certain_come_first(
    api: httpx.Client, loaded: list[Loaded]
) -> None:
    ranks = [rank(vehicle) for vehicle in fleet_answer(api, *WINDOWS[0])["vehicles"]]
    assert ranks == sorted(ranks)
    assert len({group for group, _ in ranks}) > 2


def rank(vehicle: dict[str, Any]) -> tuple[int, float]:
    """Low ones that are certain, low ones, all that can be judged, the rest; the lowest first."""
    ratio = vehicle["metrics"]["efficiencyRatio"]
    if vehicle["coverage"]["quality"] == "none" or ratio is None:
        return 3, 0
    certain = [alert["certain"] for alert in vehicle["alerts"] if alert["code"] == "low_efficiency"]
    return (0 if any(certain) else 1 if certain else 2), ratio


@pytest.mark.parametrize("window", WINDOWS[:2])
def test_chargers(
    api: httpx.Client, loaded: list[Loaded], window: tuple[datetime, datetime]
) -> None:
    answer = get(api, "meters", window, limit=1000)
    raised = [code for one in loaded for code in chargers_agree(answer, one.fleet, one.prefix)]
    counts_agree(answer, raised)
    assert len(answer["meters"]) == answer["meterCount"]
    ranks = [rank(meter) for meter in answer["meters"]]
    assert ranks == sorted(ranks)


def test_a_charger_its_vehicles_and_its_hours(api: httpx.Client, loaded: list[Loaded]) -> None:
    for prefix, fleet in loaded[:10]:
        for meter in fleet.meters:
            path = f"meters/{prefix}{meter}/efficiency"
            answer = get(api, path, WINDOWS[0], groupBy="hour")
            agree(answer, whole_charger(fleet, meter, WINDOWS[0]), path)
            vehicles_on_it_agree(answer, fleet, meter, prefix)
            ranks = [rank(vehicle) for vehicle in answer["vehicles"]]
            assert ranks == sorted(ranks) and len(in_order(answer)) == 7
            groups_agree(answer, fleet, meter)


def test_a_vehicles_chargers_add_up_to_the_vehicle(
    loaded: list[Loaded], environment: dict[str, str]
) -> None:
    sums = ", ".join(f"sum({name}) AS {name}" for name in SUMS)
    differ = " OR ".join(f"coalesce(c.{name}, 0) <> v.{name}" for name in SUMS)
    with connect(environment) as connection:
        wrong = connection.execute(
            f"WITH c AS (SELECT hour, vehicle_id, {sums} FROM charger_hours GROUP BY 1, 2)"
            " SELECT hour, vehicle_id FROM vehicle_hours AS v FULL JOIN c USING (hour, vehicle_id)"
            f" WHERE v.hour IS NULL OR {differ}".encode()
        ).fetchall()
    assert wrong == []


@pytest.mark.parametrize("by", ["hour", "day", "month"])
def test_the_fleets_groups_add_up_and_are_what_each_says_alone(
    api: httpx.Client, loaded: list[Loaded], by: str
) -> None:
    answer = get(api, "fleet", WINDOWS[0] if by == "hour" else YEAR, groupBy=by)
    groups = in_order(answer)
    for name in ("totalEnergyConsumedAc", "totalEnergyDeliveredDc", "readingCount"):
        added = sum(group["metrics"][name] for group in groups)
        assert added == pytest.approx(answer["metrics"][name], abs=0.001 * len(groups))
    for name in ("rejectedReadings", "correctedReadings", "implausibleReadings", "spikes"):
        added = sum(group["coverage"][name] for group in groups)
        assert added == answer["coverage"][name] > 0, name
    charged = [group for group in groups if group["metrics"]["chargingSessions"]]
    assert charged
    for group in charged[-8:]:
        start, end = times(group)
        if end - start <= 31 * DAY:
            assert group["metrics"] == get(api, "fleet", (start, end))["metrics"]


def test_a_vehicles_and_a_meters_groups_add_up(api: httpx.Client, loaded: list[Loaded]) -> None:
    """Long windows come from the rollups, others from readings; neither makes a difference."""
    window = (START - 3 * DAY + timedelta(minutes=7), START + 2 * DAY)
    for prefix, fleet in loaded[:3]:
        for name in fleet.vehicles:
            path = f"performance/{prefix}{name}"
            own, days = get(api, path, window), get(api, path, window, groupBy="day")
            assert all(own[part] == days[part] for part in ("metrics", "coverage", "alerts"))
            assert (days["hourlyBreakdown"], own["groups"], own["asOf"]) == ([], None, None)
            for day in in_order(days):
                alone = reference.figures(fleet, name, *times(day))
                expected = {"energyAc": alone.ac.energy, "energyDc": alone.dc.energy}
                temp = alone.metrics()["averageBatteryTemp"]
                agree(day, expected | {"avgTemp": temp, "efficiency": alone.ratio}, path)
            year = get(api, path, YEAR, groupBy="month")
            whole = reference.figures(fleet, name, *YEAR)
            agree(year, {"metrics": whole.metrics(), "coverage": whole.coverage()}, path)
            added = sum(month["energyDc"] for month in in_order(year))
            assert year["asOf"] and added == pytest.approx(float(whole.dc.energy), abs=0.01)
        for name in fleet.meters:
            path = f"meters/{prefix}{name}"
            own, days = get(api, path, window), get(api, path, window, groupBy="day")
            assert own["metrics"] == days["metrics"] and own["groups"] is None
            for part, total in (
                ("energyAc", "totalEnergyConsumedAc"),
                ("energyInSessions", "energyInSessions"),
                ("readings", "readingCount"),
            ):
                added = sum(day[part] for day in in_order(days))
                assert added == pytest.approx(own["metrics"][total], abs=0.01)
