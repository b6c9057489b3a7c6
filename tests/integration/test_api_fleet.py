"""The fleet's and the meters' figures over HTTP, against the reference."""

import sys
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from ingest_worker.housekeeping.rollups import bring_up_to_date
from tests import stored_fleets
from tests.connections import connect
from tests.fleets import START
from tests.readings import iso
from tests.reference import Device, Reading, ReferenceFleet, Session
from tests.settings import settings_of

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
numbers = count(1)
MOST_A_MINUTE = Decimal(200)
"""kWh that MAX_PLAUSIBLE_KW lets a reading have."""
WINDOW = {"startTime": iso(START - HOUR), "endTime": iso(START + 12 * HOUR)}


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
        stored_fleets.create_days(connection)
        stored_fleets.load(connection, fleet)
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
    counts = {"lowEfficiency": 1, "impossibleEfficiency": 1, "implausibleEnergy": 0}
    assert body["alertCounts"] == body["certainAlertCounts"] == counts
    for alert, name in (("low_efficiency", "bad"), ("impossible_efficiency", "odd")):
        (found,) = get(api, "fleet", alert=alert)["vehicles"]
        assert (found["vehicleId"], found["alerts"][0]["code"]) == (name, alert)
    assert len(get(api, "fleet", limit=2)["vehicles"]) == 2


def test_a_vehicles_share_is_its_own_performance(api: httpx.Client, fleet: ReferenceFleet) -> None:
    body = get(api, "fleet")
    for vehicle in body["vehicles"]:
        own = get(api, f"performance/{vehicle['vehicleId']}")
        del own["coverage"]["observedSeconds"]
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
        stored_fleets.load(connection, more)
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


def test_a_meter_nobody_ever_heard_of(api: httpx.Client) -> None:
    assert api.get("/v1/analytics/meters/nobody").status_code == 404


def test_a_reading_that_speaks_of_two_chargers_counts_on_each_of_them(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    """The car was silent while it charged on both, in one hour, and then on the first again."""
    day = START - timedelta(days=30)
    counts = ((0, 0), (90, 18))
    car = Device(True, [Reading(day + n * MINUTE, Decimal(kwh)) for n, kwh in counts], pace_s=60)
    minutes = [Reading(day + n * MINUTE, Decimal("0.4")) for n in range(90)]
    more = ReferenceFleet({name: Device(False, minutes) for name in ("P", "Q")}, {"car": car})
    for meter, first in (("P", 10), ("Q", 30), ("P", 70)):
        times = [day + n * MINUTE for n in (first, first + 15)]
        more.sessions.append(Session(meter, "car", times[0], times[1]))
    with connect(environment) as connection:
        stored_fleets.load(connection, more, "two-")
        take_in(connection, environment)
    window = {"startTime": iso(day), "endTime": iso(day + 2 * HOUR)}
    p, q = get(api, "meters", **window)["meters"]
    shown = [(one["meterId"], one["coverage"]["dcReadings"], one["alerts"]) for one in (p, q)]
    assert shown == [("two-P", 1, []), ("two-Q", 1, [])]
    assert [one["metrics"]["totalEnergyDeliveredDc"] for one in (p, q)] == [12, 6]
    car_itself = get(api, "performance/two-car", **window)["coverage"]
    assert car_itself["dcReadings"] == 1 and car_itself["quality"] == "partial"
    on_p = get(api, "meters/two-P/efficiency", groupBy="hour", **window)
    assert [hour["coverage"]["dcReadings"] for hour in on_p["groups"]] == [1, 1]
    elsewhere = {"efficiencyRatio": 0.938, "energyAc": 6.4, "chargers": 1}
    assert on_p["vehicles"][0]["elsewhere"] == elsewhere


def test_a_charger_nobody_ever_heard_of(api: httpx.Client, fleet: ReferenceFleet) -> None:
    assert api.get("/v1/analytics/meters/nobody/efficiency").status_code == 404
    known = get(api, "meters/M-bad/efficiency", startTime=iso(START - timedelta(days=300)))
    assert (known["metrics"]["vehicles"], len(known["vehicles"])) == (1, 1)
    assert known["coverage"]["quality"] == "complete" and len(known["groups"]) == 302


@pytest.mark.parametrize(
    ("ac", "dc"),
    [("1e25", "2e25"), ("1.5e308", "50"), ("1e-300", "50"), ("5e-324", "50"), ("50", "1.7e308")],
)
def test_any_reading_a_double_holds_has_figures(
    api: httpx.Client, environment: dict[str, str], ac: str, dc: str
) -> None:
    """What nothing can carry counts 0; a ratio beyond the doubles is the largest of them."""
    prefix = f"huge{next(numbers)}-"
    times = [START + n * MINUTE for n in range(4)]
    meter = Device(False, [Reading(time, Decimal(ac)) for time in times])
    vehicle = Device(False, [Reading(time, Decimal(dc)) for time in times])
    session = Session("M", "V", START, START + 2 * MINUTE)
    fleet = ReferenceFleet({"M": meter}, {"V": vehicle}, [session])
    with connect(environment) as connection:
        stored_fleets.create_days(connection)
        stored_fleets.load(connection, fleet, prefix)
        take_in(connection, environment)
    own = get(api, f"performance/{prefix}V")
    (one,) = get(api, f"meters/{prefix}M")["sessions"]
    alone = get(api, f"sessions/{one['sessionId']}")
    assert own["metrics"] in [v["metrics"] for v in get(api, "fleet", limit=1000)["vehicles"]]
    sums = [3 * Decimal(side) if Decimal(side) < MOST_A_MINUTE else Decimal(0) for side in (ac, dc)]
    energies = [own["metrics"][f"totalEnergy{name}"] for name in ("ConsumedAc", "DeliveredDc")]
    assert energies == [printed(kwh) for kwh in sums]
    efficiency = printed(sums[1] / sums[0]) if sums[0] else None
    assert own["metrics"]["efficiencyRatio"] == alone["efficiency"] == efficiency
    assert one["energyAc"] == alone["energyAc"] == printed(sums[0])
    assert get(api, f"meters/{prefix}M")["metrics"]["energyOutsideSessions"] == printed(sums[0] / 3)


def printed(value: Decimal) -> float:
    """A number of any size as the API prints it."""
    return min(sys.float_info.max, round(float(value), 3))


def test_expected_readings_are_counted_exactly(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet
) -> None:
    """A microsecond short of a reading is none, and three thirds are one: of a vehicle, of all."""
    start, second = START - timedelta(days=40), timedelta(seconds=1)
    lengths = {"short": [86_400 * second - timedelta(microseconds=1)], "thirds": 3 * [20 * second]}
    lengths |= {f"third-{n}": [20 * second] for n in range(3)}
    with connect(environment) as connection:
        for name, all_of_it in lengths.items():
            pace = 86_400 if name == "short" else None
            for table in ("meter", "vehicle"):
                connection.execute(
                    f"INSERT INTO {table}s ({table}_id, report_seconds) VALUES (%s, %s)",
                    (name, pace),
                )
            for number, length in enumerate(all_of_it):
                at = start + number * MINUTE
                connection.execute(
                    "INSERT INTO charging_sessions VALUES (DEFAULT, %(name)s, %(name)s, %(at)s,"
                    " %(end)s)",
                    {"name": name, "at": at, "end": at + length},
                )
    window = {"startTime": iso(start), "endTime": iso(start + 24 * HOUR)}
    body = get(api, "fleet", **window)
    found = {vehicle["vehicleId"]: expected(vehicle) for vehicle in body["vehicles"]}
    thirds = {f"third-{n}": (0, 0) for n in range(3)}
    assert found == {"short": (0, 0), "thirds": (1, 1)} | thirds
    for name, counts in found.items():
        assert expected(get(api, f"performance/{name}", **window)) == counts
    # One of the vehicle, one of the three, and all but nothing of the first.
    assert expected(body) == (2, 2)


def expected(figures: dict[str, Any]) -> tuple[int, int]:
    coverage = figures["coverage"]
    return coverage["acReadingsExpected"], coverage["dcReadingsExpected"]
