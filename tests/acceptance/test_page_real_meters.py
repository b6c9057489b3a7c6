"""What the page says of real meters: what figures rest on, and which alerts are certain.

The figures come from the readings themselves, so no worker is needed.
"""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import Locator, expect

from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.page import check_usable, note, panel, rows
from tests.real_meters import CASES, START, charged, steady
from tests.reference import ReferenceFleet
from tests.stored_fleets import create_days, load

BASIS = "ul.basis li"
WIDTHS = (360, 1366)


def stamped() -> ReferenceFleet:
    """A meter that reports every 10 s, which nobody told."""
    return charged(replace(steady("0.02", 360, 10), pace_s=None), steady("0.11", 60))


def leaking() -> ReferenceFleet:
    """Nothing is missing: the alert is certain."""
    return charged(steady("0.2", 60), steady("0.1", 60))


FLEETS = {
    "silent": CASES["a meter silent through A's hour: A"].fleet,
    "rejected": CASES["20 readings rejected for another field"].fleet,
    "impossible": CASES["one reading of 2,147,483,647 kWh"].fleet,
    "zero": CASES["a zero between"].fleet,
    "dip": CASES["a register dips by its last digit"].fleet,
    "stamped": stamped(),
    "leaking": leaking(),
}


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    topics = {name: environment[f"KAFKA_{name.upper()}_TOPIC"] for name in ("meter", "vehicle")}
    with connect(environment) as connection:
        create_days(connection)
        for name, fleet in FLEETS.items():
            load(connection, fleet, f"{name}-", topics)
    with ApiProcess(environment) as process:
        yield process.http


def day(api: httpx.Client, opened: Opener, vehicle: str, **options: object) -> Locator:
    """The figures of the vehicle's day."""
    address = f"{api.base_url}/#vehicle={vehicle}&day={START.date()}"
    part = panel(opened(address, **options), f"The day {START.date()}")
    expect(part.locator(BASIS)).not_to_have_count(0)
    return part


@pytest.mark.parametrize(
    ("vehicle", "said"),
    [
        ("silent-A", "AC readings cover 1 min (1 %) and DC readings cover 1 h 00 min (100 %)"),
        ("silent-A", "20.0 kWh AC is estimated: shared out by time"),
        ("rejected-V", "20 readings were rejected and not resolved"),
        ("impossible-V", "1 reading has more energy than the device can carry"),
        ("zero-V", "1 spike of a register, which the next readings took back: left out."),
        ("dip-V", "1 dip of a register within its tolerance"),
        ("stamped-V", "AC readings come every 10 s, DC readings come every 60 s"),
        ("leaking-V", "The figures are complete."),
    ],
)
def test_what_figures_rest_on_is_said(
    api: httpx.Client, opened: Opener, vehicle: str, said: str
) -> None:
    part = day(api, opened, vehicle)
    expect(part.locator(BASIS).filter(has_text=said)).to_have_count(1)


@pytest.mark.parametrize(
    ("vehicle", "alert", "why"),
    [
        ("rejected-V", "Efficiency 0.535 is under 0.85", "rejected readings: 20"),
        ("impossible-V", "1 reading has more energy", "implausible readings: 1"),
    ],
)
def test_an_uncertain_alert_says_why_and_is_quiet(
    api: httpx.Client, opened: Opener, vehicle: str, alert: str, why: str
) -> None:
    part = day(api, opened, vehicle)
    callout = part.locator(".callout")
    expect(callout).to_have_class("callout unsure")
    expect(callout).to_contain_text(f"Uncertain: {alert}")
    expect(callout).to_contain_text(why)
    expect(part.locator(".tile.bad")).to_have_count(0)
    sessions = part.locator(".table").last
    expect(sessions.locator("tbody tr")).to_have_class("unsure")
    assert why.split()[0] in rows(sessions)[0][-1]


def test_a_certain_alert_stands_out(api: httpx.Client, opened: Opener) -> None:
    part = day(api, opened, "leaking-V")
    expect(part.locator(".callout")).to_have_class("callout bad")
    expect(part.locator(".callout")).to_contain_text("✕ Efficiency 0.500 is under 0.85")
    said = part.locator(".callout, .tile, .basis").all_inner_texts()
    assert not any("ncertain" in text for text in said)
    assert note(part, "Efficiency") == "under 85 %"


def test_a_pace_that_nobody_set_is_said_with_what_to_do(api: httpx.Client, opened: Opener) -> None:
    callout = day(api, opened, "stamped-V").locator(".callout.warn")
    expect(callout).to_contain_text("reportSeconds is not set: set it to 10")
    expect(callout).to_contain_text("POST /v1/devices/adopt-cadence")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(api: httpx.Client, opened: Opener, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    for vehicle in ("rejected-V", "silent-A", "leaking-V", "stamped-V"):
        part = day(api, opened, vehicle, color_scheme=scheme, viewport=size)
        check_usable(part.page)
