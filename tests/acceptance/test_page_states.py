"""The page when there is nothing, when ids are hostile, when a reading is replayed and when the API
is away; and that everybody can use it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import expect

from devstack.ports import Ports
from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.page import check_usable, note, panel, rows, tile
from tests.readings import iso, meter, vehicle
from tests.workers import WorkerProcess, wait_until

FLEET = "/v1/analytics/fleet"
NOW = datetime.now(UTC).replace(microsecond=0)
MARKUP = "<img src=x onerror=alert(1)>"
SECOND = f"{MARKUP}2"
HOSTILE = [MARKUP, "' onload='alert(1)", "a/b?c#d&e=%2F", "\u202eright to left", "   "]
ODD = ("V-odd", "M-odd")
OLD_AS = NOW - timedelta(days=2)
OUTAGE_SHOWS_MS = 30_000
RECOVERS_MS = 30_000
"""As soon as the poll that asks most often is answered, though others would wait for a minute."""
SIZES = {"phone": (390, 844), "desk": (1366, 900), "wall": (1920, 1080)}


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with ApiProcess(environment) as process:
        yield process.http


@pytest.fixture(scope="module")
def filled(api: httpx.Client, environment: dict[str, str]) -> Iterator[httpx.Client]:
    """Hostile vehicles from 70 to 84 %, and two rejected readings: one is valid by now."""
    for place, name in enumerate(HOSTILE):
        charge(api, name, name, ac=10, dc=7 + place * 0.35)
    charge(api, *reversed(ODD), ac=10, dc=12)
    conflict = {"timestamp": iso(NOW - timedelta(minutes=9)), "voltage": 231}
    records = [meter(MARKUP, timestamp=iso(OLD_AS)), meter(SECOND, **conflict)]
    records.append(meter(SECOND, **conflict | {"voltage": 229}))
    send(api, records)
    with WorkerProcess({**environment, "MAX_READING_AGE_DAYS": "1"}):
        wait_until(lambda: len(listed(api)) == 2, "two are rejected")
        low = f"{FLEET}?alert=low_efficiency"
        wait_until(lambda: len(api.get(low).json()["vehicles"]) == len(HOSTILE), "it is added up")
        yield api


def charge(api: httpx.Client, meter_id: str, vehicle_id: str, *, ac: float, dc: float) -> None:
    """A past session with a reading of each side."""
    assert api.post("/v1/devices/meters", json={"meterId": meter_id}).status_code == 201
    assert api.post("/v1/devices/vehicles", json={"vehicleId": vehicle_id}).status_code == 201
    start, middle, end = (iso(NOW - timedelta(minutes=n)) for n in (30, 20, 8))
    pair = {"meterId": meter_id, "vehicleId": vehicle_id}
    times = {"startedAt": start, "endedAt": end}
    assert api.post("/v1/sessions/start", json=pair | times).status_code == 201
    assert api.post("/v1/sessions/start", json=pair | {"startedAt": end}).status_code == 201
    send(api, [meter(meter_id, kwhConsumedAc=ac, timestamp=middle)])
    send(api, [vehicle(vehicle_id, kwhDeliveredDc=dc, timestamp=middle)])


def send(api: httpx.Client, records: list[dict[str, Any]]) -> None:
    answer = api.post("/v1/telemetry/ingest/batch", json={"records": records})
    assert answer.status_code == 202, answer.text


def listed(api: httpx.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get("/v1/telemetry/rejected?resolved=false").json()
    return found


def test_nothing_yet_is_said_so(api: httpx.Client, opened: Opener) -> None:
    page = opened(str(api.base_url))
    for title, text in (
        ("Efficiency over 24 hours", "No vehicle has reported or charged"),
        ("Charging now", "No vehicle is charging now."),
        ("Silent devices", "No device has reported or is registered yet."),
        ("Rejected readings", "No rejected reading waits for anyone."),
    ):
        expect(panel(page, title)).to_contain_text(text)
    page.goto(f"{api.base_url}/#vehicle=VH-404")
    expect(panel(page, "The last 24 hours")).to_contain_text("No vehicle of this id was ever")
    expect(page.locator("#connection")).to_contain_text("Live")
    expect(page.locator("#caller")).to_be_hidden()  # no key is demanded: there is nobody to name
    page.goto(f"{api.base_url}/#vehicle=..")
    expect(panel(page, "The last 24 hours")).to_contain_text("A browser cannot ask for the id")


def test_it_loads_nothing_from_elsewhere(filled: httpx.Client, opened: Opener) -> None:
    asked: list[str] = []
    page = opened("about:blank")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(str(filled.base_url))
    expect(panel(page, "Efficiency over 24 hours").locator("tbody tr").first).to_be_visible()
    assert len(asked) > 10 and {httpx.URL(url).port for url in asked} == {filled.base_url.port}
    answer = filled.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    tagged = {"If-None-Match": answer.headers["etag"]}
    assert filled.get("/", headers=tagged).status_code == 304
    assert filled.get("/static/app.js").headers["content-type"].startswith("text/javascript")
    for missing in ("/static/%2e%2e", "/static/%2e%2e%2fconsole.py", "/static/none.js", "/static/"):
        assert filled.get(missing).status_code == 404


def test_ids_are_text_whatever_they_hold(filled: httpx.Client, opened: Opener) -> None:
    page = opened(str(filled.base_url))
    part = panel(page, "Efficiency over 24 hours")
    expect(part.locator("tbody tr")).to_have_count(len(HOSTILE) + 1)
    assert [row[0] for row in rows(part)] == [*HOSTILE, "V-odd"]
    assert "is over 1" in rows(part)[-1][2]
    expect(part.locator(".verdict")).to_contain_text(f"The lowest is {MARKUP}: 70.0 %")
    charging = panel(page, "Charging now")
    expect(charging.locator("tbody tr")).to_have_count(len(HOSTILE) + 1)
    assert {(row[0], row[1]) for row in rows(charging)} == {(n, n) for n in HOSTILE} | {ODD}
    assert any(row[0].startswith(MARKUP) for row in rows(panel(page, "Rejected readings")))
    assert page.locator("img, [onload], [onerror]").count() == 0
    for name in HOSTILE:
        links = part.locator("tbody a")
        links.nth(HOSTILE.index(name)).click()
        heading = page.get_by_role("heading", level=1)
        expect(heading.locator("bdi")).to_have_text(name)
        assert heading.locator("bdi").text_content() == name
        assert page.url.endswith("#vehicle=" + quote(name, safe="!'()*~-._"))
        day = panel(page, "The last 24 hours")
        expect(day.locator(".callout")).to_contain_text("under 0.85")
        assert note(day, "Efficiency") == "under 85 %, but uncertain"
        expect(day.locator("path.too-low")).not_to_have_count(0)
        expect(panel(page, "Now")).to_contain_text("last heard")
        page.go_back()
        expect(part.locator("tbody tr")).to_have_count(len(HOSTILE) + 1)
    assert page.locator("img, [onload], [onerror]").count() == 0


def test_a_replay_is_offered_where_it_can_help_and_tells_what_came_of_it(
    filled: httpx.Client, opened: Opener
) -> None:
    page = opened(str(filled.base_url))
    part = panel(page, "Rejected readings")
    expect(part.locator("tbody tr")).to_have_count(2)
    old = next(one["id"] for one in listed(filled) if one["reason"] == "too_old")
    never = next(one["id"] for one in listed(filled) if one["reason"] == "conflict")
    conflict = part.locator("tbody tr").filter(has_text="conflict")
    conflict.locator("summary").first.click()
    expect(conflict).to_contain_text("another reading is stored at that time; correct that one")
    expect(conflict.locator("li .detail")).to_be_visible()
    expect(conflict.get_by_role("button")).to_have_count(0)

    too_old = part.locator("tbody tr").filter(has_text="too_old")
    too_old.locator("summary").first.press("Enter")
    button = page.get_by_role("button", name=f"Replay rejected reading {old}")
    button.focus()
    page.keyboard.press("Enter")
    expect(too_old.locator(".result")).to_have_text("Stored now")
    expect(too_old.locator(".result")).to_be_focused()
    expect(button).to_be_disabled()
    expect(part.get_by_role("status")).to_have_text(f"Rejected reading {old}: Stored now")
    assert [one["id"] for one in listed(filled)] == [never]
    answer = filled.get(f"/v1/telemetry/rejected/{old}").json()
    assert (answer["outcome"], answer["resolvedBy"]) == ("stored", "api@127.0.0.1")
    told = panel(page, "The fleet now").locator(".tile").nth(2)
    expect(told).to_contain_text("conflict 1")
    expect(too_old.locator(".result")).to_have_text("Stored now")  # while somebody is there
    page.mouse.move(0, 0)
    page.locator("#wanted").focus()
    expect(part.locator("tbody tr")).to_have_count(1)


def test_an_outage_is_said_and_passes(
    environment: dict[str, str],
    filled: httpx.Client,
    opened: Opener,
) -> None:
    ports = Ports()
    port = ports.take()
    with ApiProcess(environment, port=port) as process:
        page = opened(str(process.http.base_url))
        part = panel(page, "Efficiency over 24 hours")
        expect(part.locator("tbody tr").first).to_be_visible()
        expect(page.locator("#connection")).to_contain_text("Live")
        now = panel(page, "The fleet now")
        expect(now.locator(".tile").nth(2).locator("strong")).not_to_have_text("…")
        process.process.kill()  # without its drain
        process.process.wait()
        connection = page.locator("#connection")
        expect(connection).to_contain_text("Not", timeout=OUTAGE_SHOWS_MS)
        expect(connection).to_contain_text("next try in")
        expect(now).to_contain_text("The API cannot be reached. It is being tried again.")
        expect(now).to_contain_text("Not updated since")
        expect(part.locator("tbody tr").first).to_be_visible()  # what was known stays, as old
        page.evaluate("location.hash = '#vehicle=V-odd'")
        expect(panel(page, "The last 24 hours")).to_contain_text("Nothing to show yet")
        page.go_back()
        expect(panel(page, "Charging now")).to_contain_text("Nothing to show yet")
    with ApiProcess(environment, port=port):
        expect(connection).to_have_class("connection live", timeout=RECOVERS_MS)
        expect(part.locator("tbody tr")).to_have_count(len(HOSTILE) + 1)
        expect(page.get_by_text("It is being tried again.")).to_have_count(0)
    ports.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(filled: httpx.Client, opened: Opener, scheme: str, size: str) -> None:
    width, height = SIZES[size]
    page = opened(
        str(filled.base_url), color_scheme=scheme, viewport={"width": width, "height": height}
    )
    expect(panel(page, "Efficiency over 24 hours").locator("tbody tr").first).to_be_visible()
    expect(panel(page, "Rejected readings").locator("tbody tr").first).to_be_visible()
    check_usable(page)
    page.keyboard.press("Tab")
    expect(page.locator("#skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.goto(f"{filled.base_url}/#vehicle={quote(MARKUP)}")
    expect(page.locator("svg.day")).to_be_visible()
    page.locator(".as-table summary").click()
    check_usable(page)


def test_what_prints_as_the_limit_is_judged_as_the_api_does(
    filled: httpx.Client, opened: Opener
) -> None:
    """The ratio is 0.8496, which the API prints as 0.85."""
    charge(filled, "M-edge", "V-edge", ac=10, dc=8.496)
    low = f"{FLEET}?alert=low_efficiency"
    wait_until(lambda: "V-edge" in filled.get(low).text, "it is added up")
    page = opened(f"{filled.base_url}/#vehicle=V-edge")
    day = panel(page, "The last 24 hours")
    expect(day.locator(".callout")).to_contain_text("Efficiency 0.8496 is under 0.85")
    expect(day.locator(".callout")).to_contain_text("1 session under 85 %, at charger M-edge")
    assert (tile(day, "Efficiency"), note(day, "Efficiency")) == (
        "85.0 %",
        "just under 85 %, but uncertain",
    )
    expect(day.locator(".tile.warn")).to_have_count(1)
    chart = day.locator("svg.day")
    expect(chart.locator(".too-low")).to_have_count(1)
    assert "Under 85 % in 1 of 1 charging hour" in (chart.get_attribute("aria-label") or "")
    page.goto(str(filled.base_url))
    row = panel(page, "Efficiency over 24 hours").locator("tbody tr").filter(has_text="V-edge")
    expect(row).to_have_class("unsure")
