"""The worked example of docs/analytics.md, against the running API."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from ingest_worker.housekeeping.rollups import bring_up_to_date
from tests.connections import connect
from tests.figures_page import CLAIM, PAGE
from tests.readings import iso
from tests.settings import settings_of

DAY = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = {"startTime": "2026-03-02T10:00:00Z", "endTime": "2026-03-02T12:00:00Z"}
SILENT = {"startTime": "2026-03-02T12:00:00Z", "endTime": "2026-03-02T13:00:00Z"}


def at(clock: str) -> datetime:
    hours, minutes = clock.split(":")
    return DAY + timedelta(hours=int(hours), minutes=int(minutes))


def table(first_column: str) -> list[list[str]]:
    """The rows of the table whose first column has that name."""
    lines = iter(PAGE.splitlines())
    next(line for line in lines if line.startswith(f"| {first_column} |"))
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def claims(heading: str) -> list[tuple[str, str, str]]:
    """(name, sum, result) of each line below the heading that holds the word."""
    section = next(part for part in PAGE.split("\n## ") if part.startswith(heading))
    found = CLAIM.findall(section)
    assert found, heading
    return found


@pytest.fixture(scope="module")
def sessions(environment: dict[str, str]) -> dict[str, str]:
    """The example in PostgreSQL; the ids of its sessions."""
    ids = {}
    with connect(environment) as connection:
        for history in ("meter_telemetry_history", "vehicle_telemetry_history"):
            connection.execute("SELECT create_day_partition(%s, %s)", (history, DAY.date()))
        for kind in ("meter", "vehicle"):
            for name, mode, pace in {tuple(row[:3]) for row in table(kind)}:
                connection.execute(
                    f"INSERT INTO {kind}s ({kind}_id, energy_reading, report_seconds)"
                    " VALUES (%s, %s, %s)",
                    (name, mode, pace or None),
                )
        for name, meter, vehicle, start, end in table("session"):
            row = connection.execute(
                "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
                " VALUES (%s, %s, %s, %s) RETURNING session_id::text",
                (meter, vehicle, at(start), at(end)),
            ).fetchone()
            assert row
            ids[name] = row[0]
        for name, _, _, time, kwh in table("meter"):
            connection.execute(
                "INSERT INTO meter_telemetry_history"
                ' (meter_id, "timestamp", kwh_consumed_ac, voltage) VALUES (%s, %s, %s, 230)',
                (name, at(time), kwh),
            )
        for name, _, _, time, *values in table("vehicle"):
            connection.execute(
                'INSERT INTO vehicle_telemetry_history (vehicle_id, "timestamp", kwh_delivered_dc,'
                " battery_temp, soc) VALUES (%s, %s, %s, %s, %s)",
                (name, at(time), *values),
            )
        bring_up_to_date(connection, settings_of(environment), DAY + timedelta(days=1), 60)
    return ids


def look_up(body: Any, name: str) -> Any:
    for part in name.split("."):
        body = body[int(part)] if part.isdigit() else body[part]
    return body


@pytest.mark.parametrize(
    ("heading", "path", "query"),
    [
        ("A vehicle", "performance/V-1", WINDOW),
        ("A silent meter", "performance/V-2", SILENT),
        ("A session", "sessions/{B}", {}),
        ("A meter", "meters/M-1", WINDOW),
        ("The fleet", "fleet", {"startTime": iso(at("10:15")), "endTime": iso(at("11:30"))}),
        ("Chargers", "meters", WINDOW),
        ("A charger", "meters/M-1/efficiency", {**WINDOW, "groupBy": "hour"}),
        ("In time", "performance/V-1", {**WINDOW, "groupBy": "day"}),
    ],
)
def test_the_page_says_what_the_api_says(
    api: httpx.Client, sessions: dict[str, str], heading: str, path: str, query: dict[str, str]
) -> None:
    answer = api.get(f"/v1/analytics/{path.format(**sessions)}", params=query)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    for name, formula, result in claims(heading):
        computed = eval(formula)
        assert computed == pytest.approx(float(result), abs=0.0005), name
        assert look_up(body, name) == float(result), name


def test_what_the_page_says_in_words(api: httpx.Client, sessions: dict[str, str]) -> None:
    body = api.get("/v1/analytics/performance/V-1", params=WINDOW).json()
    assert body["coverage"]["quality"] == "complete"
    assert [(alert["code"], alert["certain"]) for alert in body["alerts"]] == [
        ("low_efficiency", True)
    ]
    body = api.get("/v1/analytics/performance/V-2", params=SILENT).json()
    assert (body["coverage"]["quality"], body["alerts"]) == ("partial", [])
    assert [hour["hour"] for hour in body["hourlyBreakdown"]] == [SILENT["startTime"]]
    body = api.get(f"/v1/analytics/sessions/{sessions['B']}").json()
    assert [alert["code"] for alert in body["alerts"]] == ["impossible_efficiency"]
    narrow = {"startTime": iso(at("10:15")), "endTime": iso(at("11:30"))}
    fleet = api.get("/v1/analytics/fleet", params=narrow).json()
    assert fleet["period"] == {"start": WINDOW["startTime"], "end": WINDOW["endTime"]}
    chargers = api.get("/v1/analytics/meters", params=WINDOW).json()["meters"]
    assert [charger["meterId"] for charger in chargers] == ["M-1", "M-2"]


def test_every_figure_has_its_line(api: httpx.Client, sessions: dict[str, str]) -> None:
    body = api.get("/v1/analytics/performance/V-1", params=WINDOW).json()
    for part in ("metrics", "coverage"):
        for name in body[part]:
            assert f"`{part}.{name}`" in PAGE
