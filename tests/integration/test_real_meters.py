"""The table of what real meters do, asked of the API: true values, qualities and alerts."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import httpx
import pytest

from tests import fleets, real_meters, reference, stored_fleets
from tests.agreement import agree, look_up
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.corrected_meters import SAID
from tests.figures_page import CLAIM, PAGE
from tests.readings import iso
from tests.real_meters import (
    AC,
    CASES,
    DC,
    MOST_MINUTES,
    QUALITY,
    START,
    Case,
    after,
    charged,
    readings,
    register,
    steady,
)
from tests.reference import Device, Reading, ReferenceFleet, Session

MINUTE = timedelta(minutes=1)
ON_THE_PAGE = CASES | SAID


@pytest.fixture(scope="module")
def prefixes(environment: dict[str, str]) -> dict[str, str]:
    """All cases in PostgreSQL, each with a prefix before the names of its devices."""
    topics = {s: environment[f"KAFKA_{s.upper()}_TOPIC"] for s in ("meter", "vehicle")}
    found = {}
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        for number, (name, case) in enumerate(CASES.items()):
            found[name] = f"{number}-"
            stored_fleets.load(connection, case.fleet, found[name], topics)
    return found


def asked(api: httpx.Client, case: Case, prefix: str) -> dict[str, Any]:
    window = {"startTime": iso(START), "endTime": iso(after(MOST_MINUTES))}
    answer = api.get(f"/v1/analytics/performance/{prefix}{case.vehicle}", params=window)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.parametrize("name", CASES)
def test_real_meters(api: httpx.Client, prefixes: dict[str, str], name: str) -> None:
    case = CASES[name]
    body = asked(api, case, prefixes[name])
    assert {path: look_up(body, path) for path in case.true} == case.true
    assert {alert["code"]: alert["certain"] for alert in body["alerts"]} == case.alerts
    agree(body, reference.performance(case.fleet, case.vehicle, START, after(MOST_MINUTES)))


@pytest.mark.parametrize("name", ON_THE_PAGE)
def test_the_page_says_why(name: str) -> None:
    """What the figures page computes for a case is what the API answers."""
    (part,) = [line for line in re.split(r"\n+- |\n\n", PAGE) if line.startswith(f"**{name}**")]
    said = [(path, eval(sum_), float(result)) for path, sum_, result in CLAIM.findall(part)]
    assert said, "a worked sum"
    for path, computed, result in said:
        assert computed == pytest.approx(result, abs=0.0005), path
        assert ON_THE_PAGE[name].true[path] == result, path


def test_the_deployments_pace_and_limit_hold_for_devices_that_say_nothing(
    environment: dict[str, str],
) -> None:
    """A meter is read every 5 minutes, the last time after the stop; it jumps once."""
    meter = Device(True, real_meters.rising("1000", "0.9", 7, 300).readings)
    meter.readings[3:] = [r._replace(kwh=r.kwh + 500) for r in meter.readings[3:]]
    car = Device(False, real_meters.steady("0.15", 34).readings[4::5])
    session = Session("paced-M", "paced-V", START, after(33))
    fleet = ReferenceFleet({"paced-M": meter}, {"paced-V": car}, [session], default_pace_s=300)
    fleet.max_plausible_kw = Fraction(2500)
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        stored_fleets.load(connection, fleet)
    settings = {"REPORT_SECONDS": "300", "MAX_PLAUSIBLE_KW": "2500"}
    with ApiProcess(environment | settings) as process:
        body = asked(process.http, Case(fleet, {}, vehicle="paced-V"), "")
    agree(body, reference.performance(fleet, "paced-V", START, after(MOST_MINUTES)))
    assert (look_up(body, AC), look_up(body, QUALITY)) == (6 * 0.9, "partial")


def shared_gap(after_gap: str, **limits: Any) -> ReferenceFleet:
    """A meter falls silent a minute before A stops and B starts, and comes back 3 minutes later."""
    counted = [(n, str(Decimal(n) / 10)) for n in range(60)]
    meter = register(*counted, (63, after_gap), pace_s=60, **limits)
    sessions = [Session("M", "A", START, after(60)), Session("M", "B", after(60), after(120))]
    return ReferenceFleet({"M": meter}, {"A": steady("0.1", 60), "B": Device(False)}, sessions)


@pytest.mark.parametrize(
    ("fleet", "flag"),
    [
        (shared_gap("100000"), "implausibleReadings"),
        (shared_gap("9.9", max_kw=Decimal(22)), "implausibleReadings"),
        (shared_gap("0.4"), "counterResets"),
    ],
    ids=["impossible", "more than the meter carries", "reset"],
)
def test_what_is_odd_of_a_shared_reading_counts_for_each_vehicle(
    api: httpx.Client, environment: dict[str, str], fleet: ReferenceFleet, flag: str
) -> None:
    prefix = f"shared-{next(stored_fleets.offsets)}-"
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        stored_fleets.load(connection, fleet, prefix)
    body = asked(api, Case(fleet, {}, vehicle="A"), prefix)
    agree(body, reference.performance(fleet, "A", START, after(MOST_MINUTES)))
    assert body["coverage"][flag] == 1
    assert not any(alert["certain"] for alert in body["alerts"] if flag != "counterResets")


@pytest.mark.parametrize(
    ("pace_s", "said"),
    [
        (None, [(0, "592"), (10, "593"), (20, "3.5"), (33 * 1440, "593.5")]),
        (None, [(0, "592"), (10, "593"), (20, "3.5"), (30, "3.6"), (33 * 1440, "593.5")]),
        (None, [(0, "592"), (10, "593"), (20, "3.5"), (20 * 1440, "3.6"), (40 * 1440, "4")]),
        (60, [(0, "592"), (10, "593"), (30 * 1440, "600"), (60 * 1440, "593.2")]),
    ],
)
def test_what_comes_long_after_counts_alike_in_every_window(
    api: httpx.Client, environment: dict[str, str], pace_s: int | None, said: list[tuple[int, str]]
) -> None:
    prefix = f"long-{next(stored_fleets.offsets)}-"
    fleet = charged(Device(False), register(*said, pace_s=pace_s))
    with connect(environment) as connection:
        stored_fleets.create_days(connection, range(-1, 62))
        stored_fleets.load(connection, fleet, prefix)
    for days in (1 / 24, 1, 15, 31):
        end = after(days * 1440)
        window = {"startTime": iso(START), "endTime": iso(end)}
        body = api.get(f"/v1/analytics/performance/{prefix}V", params=window).json()
        agree(body, reference.performance(fleet, "V", START, end))
        assert look_up(body, DC) == 1.0


@pytest.mark.parametrize(
    "extreme", [{"registerTolerance": 1.7976931348623157e308}, {"capacityKw": 5e-324}]
)
def test_extreme_properties_make_no_figure_fail(
    api: httpx.Client, environment: dict[str, str], extreme: dict[str, float]
) -> None:
    prefix = f"extreme-{next(stored_fleets.offsets)}-"
    fleet = charged(register((1, "2"), (2, "1"), (3, "3"), pace_s=60), Device(False))
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        stored_fleets.load(connection, fleet, prefix)
    assert api.patch(f"/v1/devices/meters/{prefix}M", json=extreme).status_code == 200
    assert asked(api, Case(fleet, {}), prefix)["coverage"]["acReadings"] == 3


def test_a_reading_where_one_session_follows_another_counts_once_whatever_was_aborted(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    """C has no length: it lies in A, or where A ends."""
    with connect(environment) as connection:
        stored_fleets.create_days(connection, (-1, 0))
        for aborted, owner in ((7, "B"), (60, "B"), (7, "C")):
            ends = [("A", 0, 60), ("C", aborted, aborted)]
            ends += [("B", 60, 90)] if owner == "B" else [("C", 60, 60)]
            sessions = [Session("M", name, after(s), after(e)) for name, s, e in ends]
            vehicles = {name: Device(False) for name in "ABC"}
            fleet = ReferenceFleet({"M": Device(False, readings((60, "1")))}, vehicles, sessions)
            prefix = f"aborted-{next(stored_fleets.offsets)}-"
            stored_fleets.load(connection, fleet, prefix)
            found = {v: look_up(asked(api, Case(fleet, {}, vehicle=v), prefix), AC) for v in "ABC"}
            assert found == {"A": 0, "B": 0, "C": 0} | {owner: 1}
            assert reference.figures(fleet, owner, START, after(90)).ac.energy == 1


def test_nothing_beyond_now_is_covered_or_expected(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    """An active session and a pace so long that each reading covers more than is over."""
    now = datetime.now(UTC)
    readings = [Reading(now - n * MINUTE, Decimal(1)) for n in (1, 31)]
    fleet = ReferenceFleet(
        {"now-M": Device(False, readings, pace_s=1800)}, {"now-V": Device(False)}
    )
    fleet.sessions.append(Session("now-M", "now-V", now - 40 * MINUTE, None))
    with connect(environment) as connection:
        stored_fleets.create_days(connection, ((now - fleets.START).days + n for n in (-1, 0, 1)))
        stored_fleets.load(connection, fleet)
    window = {"startTime": iso(now - 60 * MINUTE), "endTime": iso(now + 60 * MINUTE)}
    body = api.get("/v1/analytics/performance/now-V", params=window).json()["coverage"]
    over = (datetime.now(UTC) - now).total_seconds()
    for name in ("sessionSeconds", "acSecondsCovered"):
        assert 2400 <= body[name] <= 2400 + over, name
    assert body["acReadingsExpected"] == 1
