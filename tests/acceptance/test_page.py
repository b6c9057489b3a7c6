"""The page at `/` in a real browser on the real stack: it shows what the API says, and both agree
with what the fleet knows it sent.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.page import clock, note, panel, percent, reasons, rows, tenths, tile
from tests.workers import ROOT, WorkerProcess, command, wait_until

BACKFILL_H = 22
"""Less than the fleet's window, which begins at a whole hour."""
DEVICES = ("--meters", "24", "--vehicles", "24")
LIVE_S = 30
LIVE_DEVICES = 40
LOW = 0.85
ENERGY_ROUNDING = 0.0005 + 1e-6


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with ApiProcess(environment) as process, WorkerProcess(environment):
        yield process.http


@pytest.fixture(scope="module")
def truth(api: httpx.Client, environment: dict[str, str]) -> dict[str, Any]:
    """What a fleet knows of its past day, all of it stored and in the figures."""
    words = ("--faults", "all", "--arrays", "50", "--backfill-h", str(BACKFILL_H))
    pace = ("--speed", "0", "--seconds", "0", "--progress", "json")
    fleet = ("devstack", "fleet", *DEVICES, *words, *pace, "--api", str(api.base_url))
    done = command(environment, *fleet)
    assert done.returncode == 0, done.stderr
    truth: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    stored = truth["streams"]["vehicle"]["stored"]

    def taken_in() -> bool:
        figures = api.get("/v1/analytics/fleet").json()
        return bool(figures["metrics"]["readingCount"] == stored)

    wait_until(taken_in, "all of it is in the fleet's figures", patience_s=120)
    return truth


def ask(api: httpx.Client, path: str, **query: Any) -> Any:
    return api.get(path, params=query).raise_for_status().json()


def test_the_fleet_is_shown_as_the_api_and_the_fleet_know_it(
    api: httpx.Client, truth: dict[str, Any], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    part = panel(page, "Efficiency over 24 hours")
    expect(part.locator("tbody tr").first).to_be_visible()
    fleet = ask(api, "/v1/analytics/fleet", alert="low_efficiency")
    shown = rows(part)
    assert [row[0] for row in shown] == [one["vehicleId"] for one in fleet["vehicles"]]
    for row, one in zip(shown, fleet["vehicles"], strict=True):
        metrics = one["metrics"]
        assert row[1] == percent(metrics["efficiencyRatio"])
        assert row[2].startswith(one["alerts"][0]["message"])
        alert, quality = one["alerts"][0], one["coverage"]["quality"]
        assert f"{quality}: AC readings cover" in row[2]
        assert alert["certain"] or f"Uncertain: {alert['why']}" in row[2]
        assert row[3] == tenths(metrics["totalEnergyConsumedAc"])
        assert row[4] == tenths(metrics["totalEnergyDeliveredDc"])
    low = {v["vehicleId"]: v for v in truth["vehicles"] if (v["efficiency"] or 1) < LOW}
    assert low and [row[0] for row in shown] == sorted(low, key=lambda v: low[v]["efficiency"])
    verdict = part.locator(".verdict")
    worst = fleet["vehicles"][0]
    expect(verdict).to_contain_text(f"The worst is {worst['vehicleId']}: only {shown[0][1]}")
    certain = fleet["certainAlertCounts"]["lowEfficiency"]
    expect(verdict).to_contain_text(f"{certain} of {len(truth['vehicles'])} judged vehicles")
    expect(part.locator("tbody tr.low")).to_have_count(certain)

    metrics = fleet["metrics"]
    assert tile(part, "Fleet efficiency") == percent(metrics["efficiencyRatio"])
    ac, dc = metrics["totalEnergyConsumedAc"], metrics["totalEnergyDeliveredDc"]
    assert tile(part, "AC drawn") == tenths(ac, " kWh")
    assert tile(part, "DC delivered") == tenths(dc, " kWh")
    assert ac == pytest.approx(sum(v["energyAc"] for v in truth["vehicles"]), abs=0.001)
    assert dc == pytest.approx(sum(v["energyDc"] for v in truth["vehicles"]), abs=0.001)
    assert note(part, "AC drawn") == f"in {metrics['chargingSessions']} sessions"
    assert tile(part, "Vehicles under 85 %") == str(len(low))


def test_the_books_the_lag_and_the_silent(
    api: httpx.Client, truth: dict[str, Any], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    part = panel(page, "The fleet now")
    expect(part.locator(".tile").nth(2).locator("strong")).not_to_have_text("…")
    rejected: dict[str, int] = {}
    for stream in truth["streams"].values():
        for reason, number in stream["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + number
    assert reasons(ask(api, "/v1/telemetry/stats")) == rejected
    assert tile(part, "Rejected, not resolved") == f"{sum(rejected.values()):,}"
    for reason, number in rejected.items():
        assert f"{reason.replace('_', ' ')} {number}" in note(part, "Rejected, not resolved")
    assert tile(part, "Waiting in Kafka") == "0"
    assert note(part, "Readings a second") == f"{truth['sent']:,} read so far"
    silent = ask(api, "/v1/devices/silent")
    known = len(truth["vehicles"])
    assert silent["vehicles"] in (0, known)  # the fleet ended a moment ago, or minutes ago
    expect(part.locator(".tile").nth(3).locator("strong")).not_to_have_text("…")
    assert tile(part, "Silent for 5 minutes") == str(silent["meters"] + silent["vehicles"])


def test_active_sessions_and_rejected_readings(
    api: httpx.Client, truth: dict[str, Any], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    charging = panel(page, "Charging now")
    expect(charging.locator("tbody tr").first).to_be_visible()
    if (more := charging.get_by_role("button", name="Show all")).is_visible():
        more.click()
    active = ask(api, "/v1/sessions/active")
    assert [row[:3] for row in rows(charging)] == [
        [one["vehicleId"], one["meterId"], clock(one["startedAt"])] for one in active
    ]
    part = panel(page, "Rejected readings")
    part.get_by_label("Reason").select_option("conflict")
    expect(part.locator("tbody tr td strong").first).to_have_text("conflict")
    if (more := part.get_by_role("button", name="Show")).is_visible():
        more.click()
    path = "/v1/telemetry/rejected"
    groups = ask(api, f"{path}/groups", resolved="false", reason="conflict")
    assert [
        (row[0], row[1].split(" ")[0][: len(str(one["count"]))])
        for row, one in zip(rows(part), groups, strict=True)
    ] == [(one["deviceId"], str(one["count"])) for one in groups]
    assert sum(one["count"] for one in groups) == sum(
        stream["rejected"].get("conflict", 0) for stream in truth["streams"].values()
    )
    first = part.locator("tbody tr").first
    first.locator("summary").first.click()
    detail = ask(api, f"{path}/{groups[0]['latestId']}")
    newest = first.locator("li").first
    expect(newest.locator(".detail")).to_have_text(detail["detail"])
    newest.get_by_text("Bytes").click()
    expect(newest.locator("pre")).to_have_text(detail["raw"])


def test_a_vehicles_day(api: httpx.Client, truth: dict[str, Any], opened: Opener) -> None:
    page = opened(str(api.base_url))
    page.locator(".verdict a").click()
    worst = min(truth["vehicles"], key=lambda v: v["efficiency"] or 1)
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Vehicle {worst['vehicleId']}")
    assert page.url.endswith(f"#vehicle={worst['vehicleId']}")
    part = panel(page, "The last 24 hours")
    expect(part.locator("svg.day")).to_be_visible()
    figures = ask(
        api,
        f"/v1/analytics/performance/{worst['vehicleId']}",
        startTime=truth["window"]["start"],
        endTime=truth["window"]["end"],
    )
    metrics = figures["metrics"]
    assert metrics["totalEnergyConsumedAc"] == pytest.approx(worst["energyAc"], abs=0.001)
    assert metrics["efficiencyRatio"] == pytest.approx(worst["efficiency"], abs=ENERGY_ROUNDING)
    assert tile(part, "Efficiency") == percent(metrics["efficiencyRatio"])
    assert tile(part, "AC drawn") == tenths(metrics["totalEnergyConsumedAc"], " kWh")
    assert tile(part, "DC delivered") == tenths(metrics["totalEnergyDeliveredDc"], " kWh")
    temperature = tenths(metrics["averageBatteryTemp"], " °C")
    assert tile(part, "Mean battery temperature") == temperature
    alert = part.locator(".callout")
    expect(alert).to_contain_text(figures["alerts"][0]["message"])
    expect(alert).to_contain_text(f"at charger {worst['meterIds'][0]}")
    check_hours(page, figures["hourlyBreakdown"])
    check_sessions(api, page, worst["vehicleId"])


def check_hours(page: Page, hours: list[dict[str, Any]]) -> None:
    """The table beside the chart, and that the chart has all of it."""
    details = page.locator(".as-table")
    details.get_by_text("The chart as a table").click()
    unsure = ", uncertain"
    assert [[cell.removesuffix(unsure) for cell in row] for row in rows(details)] == [
        [
            f"{hour['hour'][:10]} {hour['hour'][11:16]}",
            tenths(hour["energyAc"]),
            tenths(hour["energyDc"]),
            percent(hour["efficiency"]),
            tenths(hour["avgTemp"], " °C"),
        ]
        for hour in hours
    ]
    chart = page.locator("svg.day")
    for name in ("ac", "dc", "hour"):
        assert chart.locator(f"rect.{name}").count() == len(hours)
    low = sum((hour["efficiency"] or 1) < LOW for hour in hours)
    assert f"Under 85 % in {low} of" in (chart.get_attribute("aria-label") or "")


def check_sessions(api: httpx.Client, page: Page, vehicle_id: str) -> None:
    sessions = ask(api, "/v1/sessions", vehicleId=vehicle_id)
    shown = rows(page.locator("table").last)
    assert len(shown) == len(sessions) == page.locator("svg.day rect.session").count()
    for row, session in zip(shown, sessions, strict=True):
        figures = ask(api, f"/v1/analytics/sessions/{session['sessionId']}")
        assert row[1] == session["meterId"]
        assert row[3:6] == [
            percent(figures["efficiency"]),
            tenths(figures["energyAc"]),
            tenths(figures["energyDc"]),
        ]


def test_days_by_address_and_by_search(
    api: httpx.Client, truth: dict[str, Any], opened: Opener
) -> None:
    page = opened(f"{api.base_url}/#vehicle=VH-002&day=2020-02-29")
    expect(panel(page, "The day 2020-02-29")).to_contain_text("No reading of it lies in this time")
    expect(panel(page, "The day 2020-02-29")).to_contain_text("It has not charged in this time")
    page.get_by_role("link", name="Day after").click()
    assert page.url.endswith("#vehicle=VH-002&day=2020-03-01")
    expect(panel(page, "The day 2020-03-01")).to_be_visible()
    page.get_by_role("link", name="Last 24 hours").click()
    expect(panel(page, "The last 24 hours").locator("svg.day")).to_be_visible()
    page.get_by_label("Find", exact=True).fill("VH-003")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Vehicle VH-003")
    expect(page).to_have_title(re.compile("^VH-003"))
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vehicle VH-002")
    page.get_by_role("link", name="← The fleet").click()
    expect(panel(page, "Efficiency over 24 hours")).to_be_visible()


def test_it_follows_a_live_fleet_by_itself(
    api: httpx.Client, truth: dict[str, Any], environment: dict[str, str], opened: Opener
) -> None:
    page = opened(str(api.base_url))
    part = panel(page, "The fleet now")
    before = ask(api, "/v1/telemetry/stats")
    each = str(LIVE_DEVICES // 2)
    words = ["devstack", "fleet", "--prefix", "L-", "--meters", each, "--vehicles", each]
    words += ["--interval-s", "1", "--backfill-h", "0", "--seconds", str(LIVE_S)]
    fleet = subprocess.Popen(
        [sys.executable, "-m", *words],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:

        def rate() -> float:
            text = tile(part, "Readings a second")
            return float(text) if re.fullmatch(r"[\d.]+", text) else -1

        wait_until(lambda: 0.85 < rate() / LIVE_DEVICES < 1.15, "the rate is the fleet's")
    finally:
        fleet.wait(LIVE_S * 2)
    read = sum(topic["read"] for topic in before["topics"]) + LIVE_S * LIVE_DEVICES * 0.9

    def counted() -> int:
        return int(note(part, "Readings a second").split()[0].replace(",", ""))

    wait_until(lambda: counted() > read, "the page counts on")
    expect(page.locator("#connection")).to_contain_text("Live")
