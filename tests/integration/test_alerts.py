"""Alerts of the figures: what opens, changes and resolves them, and what is told of it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from api.alerts.judging import judge_sessions
from api.alerts.silence import judge_silence
from api.alerts.sinking import judge_chargers
from api.database import Connection
from ingest_worker.connections import Connections
from ingest_worker.housekeeping.rounds import do_rounds
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import connect_async, conninfo, settle
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.readings import iso
from tests.rights import API, role
from tests.settings import settings_of
from tests.workers import wait_until

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)
START = NOW.replace(minute=0, second=0) - 5 * HOUR
MINUTES = 60
Work = Callable[[Connection, Settings], Awaitable[object]]
Database = psycopg.Connection[Any]


def keeping(environment: dict[str, str], work: Work) -> None:
    """Do some of the keeper's work on a connection such as it has."""

    async def do() -> None:
        settings = settings_of(role(environment, API))
        async with await connect_async(conninfo(settings, Application.API)) as connection:
            await settle(connection)
            await work(connection, settings)

    asyncio.run(do())


def judge(environment: dict[str, str]) -> None:
    """Let the rollups take in what has changed, then judge the sessions that they mark."""
    now = datetime.now(UTC)
    assert do_rounds(settings_of(environment), Connections(), now, everything=False)
    keeping(environment, lambda c, s: judge_sessions(c, s, now, datetime.now(UTC) + MINUTE))


def charge(
    database: Database,
    dc: float,
    *,
    name: str = "1",
    minutes: int = MINUTES,
    start: datetime = START,
) -> str:
    """A session of an hour, with so many minutes of readings of 1 kWh AC and `dc` kWh DC."""
    meter, vehicle = f"M{name}", f"V{name}"
    database.execute("INSERT INTO meters (meter_id) VALUES (%s) ON CONFLICT DO NOTHING", (meter,))
    database.execute(
        "INSERT INTO vehicles (vehicle_id) VALUES (%s) ON CONFLICT DO NOTHING", (vehicle,)
    )
    for stream in ("meter", "vehicle"):
        day = "SELECT ensure_day_partition(%s, %s)"
        database.execute(day, (f"{stream}_telemetry_history", start.date()))
    read(database, dc, name=name, minutes=range(minutes), start=start)
    row = database.execute(
        "INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)"
        " VALUES (%s, %s, %s, %s) RETURNING session_id",
        (meter, vehicle, start, start + HOUR),
    ).fetchone()
    assert row
    return str(row[0])


def read(
    database: Database, dc: float, *, name: str, minutes: range, start: datetime = START
) -> None:
    """Readings in these minutes of the hour; the rollups are told, as a flush tells them."""
    times = [start + n * MINUTE for n in minutes]
    database.cursor().executemany(
        'INSERT INTO meter_telemetry_history (meter_id, "timestamp", kwh_consumed_ac, voltage)'
        " VALUES (%s, %s, 1, 230)",
        [(f"M{name}", time) for time in times],
    )
    database.cursor().executemany(
        "INSERT INTO vehicle_telemetry_history"
        ' (vehicle_id, "timestamp", soc, kwh_delivered_dc, battery_temp)'
        " VALUES (%s, %s, 50, %s, 20)",
        [(f"V{name}", time, dc) for time in times],
    )
    for stream, device in (("meter", f"M{name}"), ("vehicle", f"V{name}")):
        database.execute(
            "INSERT INTO rollup_log (stream, devices, first, past, late)"
            " VALUES (%s, ARRAY[%s], %s, %s, true)",
            (stream, device, times[0], times[-1] + MINUTE),
        )


def alerts(database: Database) -> list[tuple[str, bool, bool]]:
    """The alerts in the order of their opening: code, whether certain, whether resolved."""
    return database.execute(
        "SELECT code, certain_since IS NOT NULL, resolved_at IS NOT NULL FROM alerts"
        " ORDER BY number"
    ).fetchall()


def events(database: Database) -> list[str]:
    rows = database.execute("SELECT event FROM alert_events ORDER BY number").fetchall()
    return [event for (event,) in rows]


def test_a_session_is_judged_as_its_figures_change(
    own_environment: dict[str, str], database: Database
) -> None:
    session = charge(database, 0.8)
    charge(database, 0.95, name="2")
    judge(own_environment)
    assert alerts(database) == [("low_efficiency", True, False)]
    judge(own_environment)
    assert events(database) == ["opened"]  # once, however often it is judged
    ((told,),) = database.execute("SELECT alert FROM alert_events").fetchall()
    assert (told["code"], told["sessionId"], told["state"]) == ("low_efficiency", session, "open")
    assert (told["vehicleId"], told["meterId"], told["deviceId"]) == ("V1", "M1", "V1")
    assert told["message"] == "Efficiency 0.800 is under 0.85"

    # What was drawn by somebody else is corrected away, and the correction is undone.
    parameters = ("vehicle", "V1", START, START + HOUR)
    database.execute(
        "UPDATE vehicle_telemetry_history SET kwh_delivered_dc = 0.9 WHERE vehicle_id = 'V1'"
    )
    log = "INSERT INTO rollup_log (stream, devices, first, past, late)"
    database.execute(f"{log} VALUES (%s, ARRAY[%s], %s, %s, true)".encode(), parameters)
    judge(own_environment)
    assert alerts(database) == [("low_efficiency", True, True)]
    database.execute(
        "UPDATE vehicle_telemetry_history SET kwh_delivered_dc = 0.7 WHERE vehicle_id = 'V1'"
    )
    database.execute(f"{log} VALUES (%s, ARRAY[%s], %s, %s, true)".encode(), parameters)
    judge(own_environment)
    assert alerts(database)[1:] == [("low_efficiency", True, False)]
    assert events(database) == ["opened", "resolved", "opened"]


def test_what_is_not_certain_is_told_once_it_is(
    own_environment: dict[str, str], database: Database
) -> None:
    charge(database, 0.8, minutes=30)
    judge(own_environment)
    assert alerts(database) == [("low_efficiency", False, False)]
    assert events(database) == []
    (why,) = database.execute("SELECT why FROM alerts").fetchone() or ("",)
    assert "readings are missing" in why
    read(database, 0.8, name="1", minutes=range(30, MINUTES))
    judge(own_environment)
    assert alerts(database) == [("low_efficiency", True, False)]
    assert events(database) == ["opened"]


def test_a_session_of_long_ago_opens_nothing_but_what_is_open_goes_on_being_judged(
    own_environment: dict[str, str], database: Database
) -> None:
    charge(database, 0.8, start=START - 5 * DAY)
    session = charge(database, 0.8, name="2")
    judge(own_environment)
    assert alerts(database) == [("low_efficiency", True, False)]
    database.execute(
        "UPDATE charging_sessions SET started_at = started_at - interval '6 days',"
        " ended_at = ended_at - interval '6 days' WHERE session_id = %s",
        (session,),
    )
    judge(own_environment)  # there it has no readings
    assert alerts(database) == [("low_efficiency", True, True)]


def hear(database: Database, stream: str, device: str, ago: timedelta) -> None:
    columns = {
        "meter": "meter_live_state (kwh_consumed_ac, voltage, meter_id",
        "vehicle": "vehicle_live_state (kwh_delivered_dc, soc, vehicle_id",
    }
    database.execute(
        f'INSERT INTO {columns[stream]}, "timestamp") VALUES (1, 50, %s, %s)'
        f' ON CONFLICT ({stream}_id) DO UPDATE SET "timestamp" = EXCLUDED."timestamp"'.encode(),
        (device, NOW - ago),
    )


def test_silence_of_devices_and_of_the_way_to_them(
    own_environment: dict[str, str], database: Database
) -> None:
    def judged(heard_until: datetime = NOW) -> list[tuple[Any, ...]]:
        keeping(own_environment, lambda c, s: judge_silence(c, s, NOW, heard_until))
        return database.execute(
            "SELECT device_id, certain_since IS NOT NULL FROM alerts WHERE resolved_at IS NULL"
            " ORDER BY device_id"
        ).fetchall()

    for number in range(20):
        hear(database, "meter", f"M{number:02}", MINUTE)
    database.execute("INSERT INTO meters (meter_id, report_seconds) VALUES ('SLOW', 3600)")
    hear(database, "meter", "SLOW", 4 * HOUR)  # it misses five readings of an hour each
    hear(database, "meter", "GONE", 5 * DAY)
    hear(database, "meter", "M00", 20 * MINUTE)
    hear(database, "vehicle", "V1", 20 * MINUTE)
    assert judged(NOW - 10 * MINUTE) == []  # nothing was read since
    assert judged() == [("M00", True), ("V1", False)]
    for number in range(20):
        hear(database, "meter", f"M{number:02}", 20 * MINUTE)
    assert judged() == [("M00", True), ("V1", False)]  # it is not the devices
    hear(database, "meter", "M00", MINUTE)
    database.execute("INSERT INTO vehicles (vehicle_id, is_active) VALUES ('V1', false)")
    assert judged() == []
    assert events(database) == ["opened", "resolved"]


def sessions_of_a_charger(database: Database, meter: str, day: int, ac: float, dc: float) -> None:
    """So much in an hour of that day, counted back from today."""
    hour = NOW.replace(hour=10, minute=0, second=0) - day * DAY
    database.execute(
        "INSERT INTO charger_hours SELECT %s, 60, 60, 0, 0, 0, 0, %s, %s, 0, 0, 3600, 3600,"
        " NULL, NULL, %s, 'V'",
        (hour, ac, dc, meter),
    )


def test_a_charger_that_sinks_against_its_own_past(
    own_environment: dict[str, str], database: Database
) -> None:
    def judged() -> list[tuple[str, str]]:
        keeping(own_environment, lambda c, s: judge_chargers(c, NOW))
        return database.execute(
            "SELECT device_id, message FROM alerts WHERE resolved_at IS NULL ORDER BY device_id"
        ).fetchall()

    for day in range(1, 25):
        recent = day <= 3
        sessions_of_a_charger(database, "SINKS", day, 20, 17.6 if recent else 18.8)
        sessions_of_a_charger(database, "HARDLY", day, 20, 18.0 if recent else 18.8)
        sessions_of_a_charger(database, "BAD", day, 20, 15)
        if recent or day > 22:
            sessions_of_a_charger(database, "NEW", day, 20, 12 if recent else 19)
    sank = "Efficiency sank to 0.88 in the last 3 days, from 0.94 in the 21 before"
    assert judged() == [("SINKS", sank)]
    of_today = "UPDATE charger_hours SET energy_dc = %s WHERE meter_id = 'SINKS' AND hour > %s"
    database.execute(of_today, (18.1, NOW - 3 * DAY - HOUR * 10))
    assert [device for device, _ in judged()] == ["SINKS"]  # a little better is not good
    database.execute(of_today, (18.4, NOW - 3 * DAY - HOUR * 10))
    assert judged() == []


@pytest.fixture
def opened(own_environment: dict[str, str], database: Database) -> str:
    """The id of an alert that is open."""
    charge(database, 0.8)
    judge(own_environment)
    row = database.execute("SELECT alert_id FROM alerts").fetchone()
    assert row
    return str(row[0])


def test_alerts_over_http(own_environment: dict[str, str], database: Database, opened: str) -> None:
    charge(database, 0.8, name="2", minutes=30)
    judge(own_environment)
    with ApiProcess(own_environment) as api:
        http = api.http

        def ids(**query: Any) -> list[str]:
            return [one["deviceId"] for one in http.get("/v1/alerts", params=query).json()]

        assert ids() == ["V2", "V1"]
        assert (ids(certain=True), ids(deviceId="M2"), ids(code="silent_device")) == (
            ["V1"],
            ["V2"],
            [],
        )
        first = http.get("/v1/alerts", params={"limit": 1})
        assert [one["deviceId"] for one in http.get(first.links["next"]["url"]).json()] == ["V1"]
        assert 'energy_alerts_open{code="low_efficiency"} 1.0' in http.get("/metrics").text
        assert 'energy_alerts_open{code="silent_device"} 0.0' in http.get("/metrics").text

        path = f"/v1/alerts/{opened}"
        assert http.get(path).json()["state"] == "open"
        done = http.post(f"{path}/acknowledge", json={"note": "on my way"}).json()
        again = http.post(f"{path}/acknowledge", json={"note": "it is the cable"}).json()
        assert again == done | {"note": "it is the cable"}
        assert http.post(f"{path}/acknowledge").json() == again
        assert (again["state"], again["acknowledgedBy"]) == ("acknowledged", "api@127.0.0.1")
        assert (ids(state="acknowledged"), ids(state="open")) == (["V1"], ["V2"])
        assert events(database)[:2] == ["opened", "acknowledged"]
        database.execute("UPDATE alerts SET resolved_at = now()")
        check_problem(http.post(f"{path}/acknowledge"), 409)
        check_problem(http.post(f"/v1/alerts/{iso(NOW)}/acknowledge"), 404)
        check_problem(http.get("/v1/alerts", params={"state": "closed"}), 400)


def test_one_process_of_the_api_keeps_the_alerts_and_another_takes_over(
    own_environment: dict[str, str], database: Database
) -> None:
    def settled() -> None:
        database.execute("UPDATE sessions_to_judge SET since = now() - interval '1 hour'")

    with ApiProcess(own_environment) as one, ApiProcess(own_environment) as other:
        keeper = "this process keeps the alerts"
        wait_until(lambda: keeper in one.log + other.log, "one keeps them")
        first, second = (one, other) if keeper in one.log else (other, one)
        charge(database, 0.8)
        assert do_rounds(settings_of(own_environment), Connections(), NOW, everything=False)
        settled()
        wait_until(lambda: alerts(database) == [("low_efficiency", True, False)], "it is opened")
        assert keeper not in second.log
        first.process.kill()
        charge(database, 0.7, name="2")
        assert do_rounds(settings_of(own_environment), Connections(), NOW, everything=False)
        settled()
        wait_until(lambda: len(alerts(database)) == 2, "the other one goes on")
        assert events(database) == ["opened", "opened"]
