"""Many random fleets summed up at once: the fleet's answer, its counts, its order."""

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given, settings

from ingest_worker.housekeeping.rollups import backlog, bring_up_to_date
from tests import fleets, stored_fleets
from tests.connections import connect
from tests.fleets import START
from tests.reference import ReferenceFleet
from tests.rolled_up import fleet_answer, totals_agree, vehicles_agree
from tests.settings import settings_of

HOUR = timedelta(hours=1)
WINDOWS = (
    (START - HOUR, START + 6 * HOUR),
    (START, START + 2 * HOUR),
    (START + 2 * HOUR, START + 3 * HOUR),
    (START - timedelta(days=20), START + timedelta(days=2)),
)


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
