"""The page does not say that all is well when nothing could be judged, nor takes a list that was
cut for all there is.

The rollups are written by the test, so no worker is needed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.conftest import Opener
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.page import note, panel, rows, tile

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
TITLE = "Efficiency over 24 hours"
ASKED = 100
"""Vehicles that the page asks for."""
LOW = 1_234


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    with ApiProcess(environment) as process:
        yield process.http


def charge(environment: dict[str, str], prefix: str, count: int, *, dc: float, read: int) -> None:
    """So many vehicles that charged in a past hour, a minute a reading, of 50 minutes."""
    names = [f"{prefix}-{number:04}" for number in range(count)]
    with connect(environment) as connection:
        connection.execute("INSERT INTO meters (meter_id) SELECT unnest(%s::text[])", (names,))
        connection.execute("INSERT INTO vehicles (vehicle_id) SELECT unnest(%s::text[])", (names,))
        connection.execute(
            "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
            " SELECT name, name, %s, %s FROM unnest(%s::text[]) AS name",
            (HOUR, HOUR + timedelta(minutes=50), names),
        )
        for rollup, start in {"vehicle_hours": HOUR, "vehicle_days": HOUR.replace(hour=0)}.items():
            connection.execute(
                f"INSERT INTO {rollup} (hour, vehicle_id, readings, ac_readings, dc_readings,"
                " ac_seconds, dc_seconds,"
                " counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)"
                " SELECT %s, name, %s, 50, %s, 3000, %s, 0, 0, 10,"
                " %s * (1 + row_number() OVER () * 0.00001), 0"
                " FROM unnest(%s::text[]) AS name".encode(),
                (start, read, read, read * 60, dc, names),
            )
        connection.execute("DELETE FROM rollup_log")


def shown(page: Page, api: httpx.Client) -> None:
    page.goto("about:blank")
    page.goto(str(api.base_url))
    expect(panel(page, TITLE).locator(".verdict")).not_to_be_empty()


def test_a_tick_stands_only_for_what_was_judged(
    api: httpx.Client, environment: dict[str, str], opened: Opener
) -> None:
    charge(environment, "unread", 2, dc=0, read=0)
    page = opened("about:blank")
    shown(page, api)
    part = panel(page, TITLE)
    verdict = part.locator(".verdict")
    expect(verdict).to_contain_text("Nothing can be said of the fleet yet")
    unread = "▲ Not judged, though they charged: 2 vehicles without readings of both sides."
    expect(part).to_contain_text(unread)
    assert "✓" not in part.inner_text()
    expect(part.locator(".tile.good, .verdict.good")).to_have_count(0)
    assert tile(part, "Vehicles under 85 %") == "–"
    assert note(part, "Fleet efficiency") == "no vehicle can be judged"

    charge(environment, "fine", 60, dc=9, read=50)
    shown(page, api)
    expect(verdict).to_have_text("✓ None of 60 judged vehicles is under 85 %.")
    expect(part).to_contain_text(unread)
    assert (tile(part, "Vehicles under 85 %"), note(part, "Vehicles under 85 %")) == (
        "0",
        "of 60 judged",
    )

    charge(environment, "unsure", 3, dc=8, read=40)
    shown(page, api)
    expect(verdict).to_contain_text("▲ 3 vehicles may be under 85 %. The lowest is unsure-0000")
    assert note(part, "Vehicles under 85 %") == "of 63 judged, none for certain"
    expect(part.locator(".bad")).to_have_count(0)
    expect(part.locator("h3:visible")).to_have_text("Uncertain: 3 vehicles")
    why = "Uncertain: DC readings are missing for 20% of the time"
    assert all(why in row[2] for row in rows(part)) and len(rows(part)) == 3

    charge(environment, "low", LOW, dc=7, read=50)
    with connect(environment) as connection:
        connection.execute(
            "INSERT INTO rollup_log (stream, devices, first, past)"
            " VALUES ('vehicle', '{fine-0001}', '-infinity', 'infinity')"
        )
    shown(page, api)
    all_of_them = f"{LOW:,}"
    judged = LOW + 63
    expect(verdict).to_contain_text(f"✕ {all_of_them} of {judged:,} judged vehicles are under 85 %")
    expect(verdict).to_contain_text("Uncertain: 3 vehicles may be under 85 %.")
    assert tile(part, "Vehicles under 85 %") == f"{LOW + 3:,}"
    assert note(part, "Vehicles under 85 %").endswith(f"judged, {all_of_them} for certain")
    expect(part.locator("h3:visible")).to_have_text(
        [f"Certain: {all_of_them} vehicles", "Uncertain: 3 vehicles"]
    )
    more = part.get_by_role("button", name=f"Show {ASKED} of {all_of_them}")
    more.click()
    expect(part.locator("tr.low")).to_have_count(ASKED)
    expect(part.locator("tr.unsure")).to_have_count(3)
    expect(part).to_contain_text(f"The worst {ASKED} of {all_of_them} are listed.")
    expect(part).to_contain_text("until all is added up again, old and new mix")
