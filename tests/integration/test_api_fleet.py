"""The fleet's and the meters' figures over HTTP, against the reference."""

import sys
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given, settings

from ingest_worker.housekeeping.rollups import bring_up_to_date
from tests import fleets, reference
from tests.connections import connect
from tests.fleets import GRID, START
from tests.readings import iso
from tests.reference import Device, Reading, ReferenceFleet, Session
from tests.settings import settings_of

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
numbers = count(1)
WINDOW = {"startTime": iso(START - HOUR), "endTime": iso(START + 12 * HOUR)}


def rounded(value: Decimal) -> float:
    return float(round(value, 3))


def charged(ratio: str) -> tuple[Device, Device]:
    """Both sides of 3 hours, read every minute."""
    times = [START + n * MINUTE for n in range(180)]
    meter = Device(False, [Reading(time, Decimal("0.1")) for time in times])
    vehicle = [Reading(time, Decimal("0.1") * Decimal(ratio), Decimal(25)) for time in times]
    return meter, Device(False, vehicle)


@pytest.fixture(scope="module")
def fleet(environment: dict[str, str]) -> ReferenceFleet:
    """Vehicles by their efficiency; one never charged, one whose vehicle was silent."""
    fleet = ReferenceFleet()
    ratios = {"bad": "0.7", "edge": "0.85", "good": "0.92", "odd": "1.1", "silent": "0.5"}
    for name, ratio in ratios.items():
        fleet.meters[f"M-{name}"], fleet.vehicles[name] = charged(ratio)
        fleet.sessions.append(Session(f"M-{name}", name, START, START + 3 * HOUR))
    fleet.vehicles["silent"].readings = []
    fleet.vehicles["idle"] = charged("1")[1]
    with connect(environment) as connection:
        fleets.create_days(connection)
        fleets.load(connection, fleet)
        take_in(connection, environment)
    return fleet


def take_in(connection: psycopg.Connection[Any], environment: dict[str, str]) -> None:
    """Sums all there is up into the rollups."""
    connection.execute(
        "INSERT INTO rollup_log (stream, devices, first, past)"
        " SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity' FROM vehicles"
    )
    bring_up_to_date(connection, settings_of(environment), START + 12 * HOUR, 60)


def get(api: httpx.Client, path: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/analytics/{path}", params=WINDOW | query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_vehicles_come_from_the_worst_on(api: httpx.Client, fleet: ReferenceFleet) -> None:
    body = get(api, "fleet")
    names = [vehicle["vehicleId"] for vehicle in body["vehicles"]]
    assert names == ["bad", "edge", "good", "odd", "idle", "silent"]
    assert body["vehicleCount"] == 6
    assert body["alertCounts"] == {"lowEfficiency": 1, "impossibleEfficiency": 1}
    for alert, name in (("low_efficiency", "bad"), ("impossible_efficiency", "odd")):
        (found,) = get(api, "fleet", alert=alert)["vehicles"]
        assert (found["vehicleId"], found["alerts"][0]["code"]) == (name, alert)
    assert len(get(api, "fleet", limit=2)["vehicles"]) == 2


def test_a_vehicles_share_is_its_own_performance(api: httpx.Client, fleet: ReferenceFleet) -> None:
    body = get(api, "fleet")
    for vehicle in body["vehicles"]:
        own = get(api, f"performance/{vehicle['vehicleId']}")
        for part in ("metrics", "coverage", "alerts"):
            assert vehicle[part] == own[part], vehicle["vehicleId"]
    for name in ("totalEnergyConsumedAc", "totalEnergyDeliveredDc", "readingCount"):
        shares = sum(vehicle["metrics"][name] for vehicle in body["vehicles"])
        assert body["metrics"][name] == pytest.approx(shares, abs=0.003)


def test_windows_are_widened_to_hours_and_days_make_no_difference(
    api: httpx.Client, fleet: ReferenceFleet
) -> None:
    start, end = START + 59 * MINUTE, START + 61 * MINUTE
    body = get(api, "fleet", startTime=iso(start), endTime=iso(end))
    assert body["period"] == {"start": iso(START), "end": iso(START + 2 * HOUR)}
    bad = next(v for v in body["vehicles"] if v["vehicleId"] == "bad")
    assert bad["metrics"]["totalEnergyConsumedAc"] == 12
    month = get(
        api,
        "fleet",
        startTime=iso(START - timedelta(days=20, minutes=7)),
        endTime=iso(START + timedelta(days=11, minutes=-7)),
    )
    assert month["metrics"] == get(api, "fleet")["metrics"]


def test_as_of_is_the_oldest_change_not_taken_in(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    before = datetime.fromisoformat(get(api, "fleet")["asOf"])
    with connect(environment) as connection:
        row = connection.execute(
            "INSERT INTO rollup_log (stream, devices, first, past)"
            " VALUES ('meter', '{x}', now(), now()) RETURNING logged_at"
        ).fetchone()
        assert row and before < row[0]
        assert get(api, "fleet")["asOf"] == iso(row[0])
        connection.execute("DELETE FROM rollup_log")


def test_it_says_while_a_changed_meaning_of_readings_has_yet_to_reach_all_figures(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    assert get(api, "fleet")["beingRedone"] is False
    with connect(environment) as connection:
        for meaning in ("register", "interval"):
            connection.execute("UPDATE meters SET energy_reading = %s", (meaning,))
            assert get(api, "fleet")["beingRedone"] is True
        bring_up_to_date(connection, settings_of(environment), START + 12 * HOUR, 60)
        assert get(api, "fleet")["beingRedone"] is False
        for meaning, other in (("register", True), ("interval", False)):
            connection.execute("UPDATE rollup_state SET energy_reading = %s", (meaning,))
            assert get(api, "fleet")["beingRedone"] is other


def test_the_worst_of_the_impossible_are_the_highest(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    more = ReferenceFleet()
    for name, ratio in {"odd-1": "1.2", "odd-2": "1.3", "odd-3": "1.3"}.items():
        more.meters[f"M-{name}"], more.vehicles[name] = charged(ratio)
        more.sessions.append(Session(f"M-{name}", name, START, START + 3 * HOUR))
    with connect(environment) as connection:
        fleets.load(connection, more)
        take_in(connection, environment)
    for limit, names in ((4, ["odd-2", "odd-3", "odd-1", "odd"]), (1, ["odd-2"])):
        body = get(api, "fleet", alert="impossible_efficiency", limit=limit)
        assert [vehicle["vehicleId"] for vehicle in body["vehicles"]] == names


@pytest.mark.parametrize(
    "query",
    [
        {"endTime": iso(START + timedelta(days=32))},
        {"endTime": iso(START - 2 * HOUR)},
        {"limit": 0},
        {"limit": 1001},
        {"alert": "else"},
        {"endTime": "9999-12-31T23:30:00Z", "startTime": "9999-12-31T23:00:00Z"},
    ],
)
def test_questions_that_make_no_sense(api: httpx.Client, query: dict[str, Any]) -> None:
    assert api.get("/v1/analytics/fleet", params=WINDOW | query).status_code == 400


@settings(fleets.UNSHRUNK, max_examples=15)
@given(fleet=fleets.fleets())
def test_a_meters_figures(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    prefix = f"m{next(numbers)}-"
    with connect(environment) as connection:
        fleets.create_days(connection)
        fleets.load(connection, fleet, prefix)
    check_meter(api, fleet, prefix)


def test_a_meter_nobody_ever_heard_of(api: httpx.Client) -> None:
    assert api.get("/v1/analytics/meters/nobody").status_code == 404


@pytest.mark.parametrize(
    ("ac", "dc"),
    [("1e25", "2e25"), ("1.5e308", "1.7e308"), ("1e-300", "50"), ("5e-324", "1.7e308")],
)
def test_any_reading_a_double_holds_has_figures(
    api: httpx.Client, environment: dict[str, str], ac: str, dc: str
) -> None:
    """JSON has no infinity: a sum or a ratio beyond the doubles is the largest of them."""
    prefix = f"huge{next(numbers)}-"
    times = [START + n * MINUTE for n in range(4)]
    meter = Device(False, [Reading(time, Decimal(ac)) for time in times])
    vehicle = Device(False, [Reading(time, Decimal(dc)) for time in times])
    session = Session("M", "V", START, START + 2 * MINUTE)
    with connect(environment) as connection:
        fleets.create_days(connection)
        fleets.load(connection, ReferenceFleet({"M": meter}, {"V": vehicle}, [session]), prefix)
        take_in(connection, environment)
    own = get(api, f"performance/{prefix}V")
    (one,) = get(api, f"meters/{prefix}M")["sessions"]
    alone = get(api, f"sessions/{one['sessionId']}")
    assert own["metrics"] in [v["metrics"] for v in get(api, "fleet", limit=1000)["vehicles"]]
    for side, name in ((ac, "totalEnergyConsumedAc"), (dc, "totalEnergyDeliveredDc")):
        assert own["metrics"][name] == printed(Decimal(side) * 2)
    efficiency = printed(Decimal(dc) / Decimal(ac))
    assert own["metrics"]["efficiencyRatio"] == alone["efficiency"] == efficiency
    assert one["energyAc"] == alone["energyAc"] == printed(Decimal(ac) * 2)
    assert get(api, f"meters/{prefix}M")["metrics"]["energyOutsideSessions"] == one["energyAc"]


def printed(value: Decimal) -> float:
    """A number of any size as the API prints it."""
    return min(sys.float_info.max, round(float(value), 3))


def check_meter(api: httpx.Client, fleet: ReferenceFleet, prefix: str) -> None:
    start, end = START + GRID, START + 30 * GRID
    body = get(api, f"meters/{prefix}M0", startTime=iso(start), endTime=iso(end))
    expected = reference.meter(fleet, "M0", start, end)
    hours = {hour["hour"]: hour["energyAc"] for hour in body["hourlyBreakdown"]}
    assert hours == {iso(hour): rounded(energy) for hour, energy in sorted(expected.items())}
    metrics = body["metrics"]
    assert metrics["totalEnergyConsumedAc"] == rounded(sum(expected.values(), Decimal(0)))
    clipped = [(s, *s.clip(start, end)) for s in fleet.sessions if s.meter == "M0"]
    on_it = sorted((s.start, s.vehicle, first, past) for s, first, past in clipped if first < past)
    assert metrics["chargingSessions"] == len(on_it)
    for session, (_, vehicle, first, past) in zip(body["sessions"], on_it, strict=True):
        assert session["vehicleId"] == prefix + vehicle
        share = sum(reference.meter(fleet, "M0", first, past).values(), Decimal(0))
        assert session["energyAc"] == rounded(share)
    assert metrics["energyInSessions"] == pytest.approx(
        sum(session["energyAc"] for session in body["sessions"]), abs=0.005
    )
