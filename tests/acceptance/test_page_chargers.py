"""Somebody who has never seen the page finds which charger loses energy, since when, how sure that
is; and finds any device by a part of what is known of it.

The rollups are made by the test, so no worker is needed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import httpx
import pytest
from playwright.sync_api import Page, expect

from ingest_worker.housekeeping.rollups import bring_up_to_date
from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.fleets import START
from tests.page import check_usable, panel, rows, tile
from tests.reference import Device, Reading, ReferenceFleet, Session
from tests.settings import settings_of
from tests.stored_fleets import create_days, load

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DAYS = [TODAY - number * DAY for number in (6, 5, 4, 3, 2, 1)]
LEAKS_FROM = DAYS[3]
PACE = timedelta(minutes=10)
WHERE = {"LEAK": "Depot North, bay 4", "FINE": "Depot South"}
LOOKS = [("light", 390), ("dark", 1440), ("light", 2560)]
TEXT_PX = {390: 16, 1440: 16, 2560: 26}
"""By the width of the window: a wall is read from afar."""


def devices() -> ReferenceFleet:
    """Two vehicles, each at both chargers every day; one charger begins to leak."""
    meters = {name: Device(False, pace_s=600) for name in WHERE}
    vehicles = {name: Device(False, pace_s=600) for name in ("A", "B")}
    sessions = []
    for day in DAYS:
        for number, (meter, vehicle) in enumerate((m, v) for m in meters for v in vehicles):
            start = day + (8 + 2 * number) * HOUR
            sessions.append(Session(meter, vehicle, start, start + HOUR))
            leaks = meter == "LEAK" and day >= LEAKS_FROM
            for place in range(1, 7):
                time = start + place * PACE
                meters[meter].readings.append(Reading(time, Decimal(2), None))
                delivered = Decimal("1.2" if leaks else "1.84")
                vehicles[vehicle].readings.append(Reading(time, delivered, Decimal(25)))
    return ReferenceFleet(meters, vehicles, sessions, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with connect(environment) as connection:
        create_days(connection, range((DAYS[0] - START).days, (TODAY - START).days + 1))
        load(connection, devices())
        for meter, location in WHERE.items():
            connection.execute(
                "UPDATE meters SET location = %s WHERE meter_id = %s", (location, meter)
            )
        connection.execute(
            "INSERT INTO rollup_log (stream, devices, first, past)"
            " SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity' FROM vehicles"
        )
        assert bring_up_to_date(connection, settings_of(environment), datetime.now(UTC), 300)
    with ApiProcess(environment) as process:
        yield process.http


def test_which_charger_since_when_and_how_sure(api: httpx.Client, opened: Opener) -> None:
    page = opened(str(api.base_url))
    page.get_by_role("link", name="Chargers", exact=True).click()
    page.get_by_role("link", name="7 days").click()
    worst = panel(page, "The worst first: the last 7 days")
    expect(worst.locator(".verdict.bad")).to_have_text("✕ 1 of 2 chargers is under 85 %.")
    assert rows(worst)[0][:4] == ["LEAK", WHERE["LEAK"], "76.0 %", "Efficiency 0.760 is under 0.85"]
    assert rows(worst)[1][0] == "FINE"
    worst.get_by_role("link", name="LEAK").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Charger LEAK")
    assert page.url.endswith("#charger=LEAK&last=7d")
    part = panel(page, "The charger or the car?")
    expect(part.locator(".verdict.bad")).to_have_text(
        "✕ The charger: 2 of 2 vehicles are under 85 % here, and all of these are fine elsewhere."
    )
    since, fine = LEAKS_FROM.date(), (LEAKS_FROM - DAY).date()
    expect(part.locator(".since")).to_have_text(
        f"Since {since}: under 85 % on all 3 days it charged on; {fine} as a whole was not yet."
        " That is certain."
    )
    expect(part.locator(".sure")).to_contain_text("quite, all 2 figures behind it are complete")
    table = part.get_by_role("table", name="The vehicles on this charger, here and elsewhere")
    here = [row[:4] for row in rows(table)]
    assert here == [[one, "60.0 %", "92.0 % at 1 charger", "low here alone"] for one in "AB"]
    expect(part.locator("svg.day path.too-low")).to_have_count(3)
    check_window(page)


def check_window(page: Page) -> None:
    """The figures of the chosen window, and where they lead."""
    part = panel(page, "The last 7 days")
    expect(part.locator("svg.day rect.session")).to_have_count(12)
    assert (tile(part, "AC drawn"), tile(part, "Sessions")) == ("144.0 kWh", "12")
    sessions = part.get_by_role("table", name="The charger's charging sessions, newest first")
    shown = rows(sessions)
    assert [row[1] for row in shown] == ["B", "A"] * 6
    assert [row[3] for row in shown] == ["60.0 %"] * 6 + ["92.0 %"] * 6
    link = part.get_by_role("link", name="Its readings, as CSV").get_attribute("href") or ""
    path = f"/v1/telemetry/meters/LEAK/history?startTime={(TODAY - 6 * DAY).date()}T00:00:00.000Z"
    assert link.startswith(path)
    assert len(page.request.get(f"{page.url.split('/#')[0]}{link}").text().splitlines()) == 1 + 72
    sessions.get_by_role("link", name="A").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vehicle A")
    figures = panel(page, "The last 7 days")
    expect(figures.locator(".callout")).to_contain_text("at charger LEAK, and not elsewhere")
    figures.locator(".callout").get_by_role("link", name="LEAK").click()
    assert page.url.endswith("#charger=LEAK&last=7d")


def test_a_part_of_a_name_finds_it_and_any_time_can_be_chosen(
    api: httpx.Client, opened: Opener
) -> None:
    page = opened(str(api.base_url))
    page.get_by_label("Find", exact=True).fill("north")
    page.keyboard.press("Enter")
    found = panel(page, "Find a charger")
    expect(found.locator("tbody tr")).to_have_count(1)
    expect(panel(page, "Find a vehicle")).to_contain_text("No registered vehicle has “north”.")
    found.get_by_label("Part of its id or location").fill("depot")
    expect(found.locator("tbody tr")).to_have_count(2)
    found.get_by_role("link", name="FINE").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Charger FINE")
    verdict = panel(page, "The charger or the car?").locator(".verdict.good")
    expect(verdict).to_have_text("✓ Neither: none of 2 judged vehicles is under 85 % here.")

    page.get_by_text("Another time").click()
    page.get_by_label("From").fill(f"{DAYS[0].date()}T12:00")
    page.get_by_label("To", exact=True).fill(f"{DAYS[0].date()}T11:00")
    page.get_by_role("button", name="Show").last.click()
    expect(page.get_by_text("The first time must be before the second")).to_be_visible()
    page.get_by_label("To", exact=True).fill(f"{DAYS[0].date()}T13:00")
    page.get_by_role("button", name="Show").last.click()
    part = panel(page, f"{DAYS[0].date()} 12:00 to {DAYS[0].date()} 13:00")
    expect(part.locator(".tile").first).to_contain_text("92.0 %")
    assert tile(part, "Sessions") == "1"
    page.reload()
    expect(part.locator(".tile").first).to_contain_text("92.0 %")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_everybody_can_read_it(api: httpx.Client, opened: Opener, scheme: str, width: int) -> None:
    page = opened(
        f"{api.base_url}/#charger=LEAK&last=7d",
        color_scheme=scheme,
        viewport={"width": width, "height": 900},
        reduced_motion="reduce",
    )
    expect(page.locator("svg.day")).to_have_count(2)
    check_usable(page)
    size = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert size == TEXT_PX[width]
    for view, table in (("chargers=all&last=7d", "Chargers with"), ("find=a", "Find a vehicle")):
        page.goto(f"{api.base_url}/#{view}")
        expect(page.locator("table", has_text=table).locator("tbody tr").first).to_be_visible()
        check_usable(page)


def test_an_alert_is_acknowledged_where_it_is_seen(api: httpx.Client, opened: Opener) -> None:
    page = opened(f"{api.base_url}/#charger=FINE")
    expect(panel(page, "Now")).to_be_visible()
    expect(panel(page, "Open alerts")).to_be_hidden()  # it is another one's
    page.goto(str(api.base_url))
    alerts = panel(page, "Open alerts")
    acknowledge = alerts.get_by_role("button", name="Acknowledge the alert of LEAK")
    expect(alerts.locator("tbody tr")).to_contain_text("Efficiency sank to 0.60")
    alerts.get_by_label("Note").fill("a new cable is ordered")
    acknowledge.click()
    expect(alerts.locator("tbody tr")).to_contain_text(": a new cable is ordered")
    expect(acknowledge).to_be_hidden()
    check_usable(page)
    (alert,) = api.get("/v1/alerts", params={"deviceId": "LEAK"}).json()
    assert (alert["code"], alert["state"]) == ("sinking_charger", "acknowledged")
    assert alert["note"] == "a new cable is ordered"
