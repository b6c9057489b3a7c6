"""Raw history over HTTP: every reading of the window as it was sent, in flat memory, or no end."""

import asyncio
import csv
import re
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from psycopg import AsyncConnection, sql
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.database import Database
from api.http.endpoint import Endpoint
from api.routes.history import History
from schemas.streams import METER, STREAMS
from sql.named import load_for
from tests.answers import check_problem
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.readings import iso, meter
from tests.settings import settings_of
from tests.workers import WorkerProcess, wait_until

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
METERS = "/v1/telemetry/meters"
VEHICLES = "/v1/telemetry/vehicles"
MONTH = {"startTime": iso(START), "endTime": iso(START + 31 * DAY)}
MONTH_READINGS = 44_640
MANY = 3 * 86_400
MONTH_LIMIT_S = 10.0
FLAT_KIB = 40 * 1024
STRANGE = 'a/b, "ü" =1'


@pytest.fixture(scope="module")
def filled(environment: dict[str, str]) -> dict[str, str]:
    """A month of M and V, a reading a minute; three days of DENSE, one a second; S a few."""
    with connect(environment) as connection:
        for table in ("meter_telemetry_history", "vehicle_telemetry_history"):
            for day in range(32):
                when = (START + day * DAY).date()
                connection.execute("SELECT create_day_partition(%s, %s)", (table, when))
        connection.execute(
            "INSERT INTO meters (meter_id) VALUES ('M'), ('DENSE'), ('SILENT'), (%s)", (STRANGE,)
        )
        connection.execute("INSERT INTO vehicles (vehicle_id) VALUES ('V')")
        insert = (
            'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)'
        )
        series = f"{insert} SELECT n / 8.0, %s + n * %s * interval '1 s', 230.53, %s FROM"
        series += " generate_series(0, %s) AS n"
        connection.execute(series, (START, 60, "M", MONTH_READINGS - 1))
        connection.execute(series, (START, 1, "DENSE", MANY - 1))
        connection.execute(
            'INSERT INTO vehicle_telemetry_history (kwh_delivered_dc, "timestamp", soc,'
            " battery_temp, vehicle_id) SELECT n / 8.0, %s + n * interval '1 min', 75.1, -0.7, 'V'"
            " FROM generate_series(0, 1439) AS n",
            (START,),
        )
        for micros, value in ((0, 1e-7), (500_000, 0.1), (500_001, 3.0)):
            when = START + timedelta(microseconds=micros)
            connection.execute(f"{insert} VALUES (%s, %s, 0.1, %s)", (value, when, STRANGE))
        connection.execute("VACUUM ANALYZE")
    return environment


def expected(number: int) -> dict[str, Any]:
    values = {"meterId": "M", "kwhConsumedAc": number / 8, "voltage": 230.53}
    return values | {"timestamp": iso(START + number * MINUTE)}


def walk(api: httpx.Client, path: str, query: dict[str, Any]) -> list[httpx.Response]:
    """The answers from page to page."""
    pages = [api.get(path, params=query)]
    while following := pages[-1].links.get("next"):
        pages.append(api.get(following["url"]))
    assert all(page.status_code == 200 for page in pages)
    return pages


def test_a_month_as_json(api: httpx.Client, filled: dict[str, str]) -> None:
    began = time.monotonic()
    answer = api.get(f"{METERS}/M/history", params=MONTH)
    assert time.monotonic() - began < MONTH_LIMIT_S
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json() == [expected(number) for number in range(MONTH_READINGS)]
    assert list(answer.json()[0]) == ["meterId", "kwhConsumedAc", "voltage", "timestamp"]


def test_a_month_as_csv(api: httpx.Client, filled: dict[str, str]) -> None:
    began = time.monotonic()
    answer = api.get(f"{METERS}/M/history", params=MONTH | {"format": "csv"})
    assert time.monotonic() - began < MONTH_LIMIT_S
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''M.csv"
    lines = answer.text.splitlines()
    assert lines[0] == ",".join(METER.json_names)
    assert lines[1:] == [
        ",".join(str(expected(number).get(name, "")) for name in METER.json_names)
        for number in range(MONTH_READINGS)
    ]


def test_a_vehicle(api: httpx.Client, filled: dict[str, str]) -> None:
    window = {"startTime": iso(START + MINUTE), "endTime": iso(START + 3 * MINUTE)}
    first = {"vehicleId": "V", "soc": 75.1, "kwhDeliveredDc": 0.125, "batteryTemp": -0.7}
    first["timestamp"] = iso(START + MINUTE)
    found = api.get(f"{VEHICLES}/V/history", params=window).json()
    assert found[0] == first and list(found[0]) == list(first)
    assert [one["timestamp"] for one in found] == [iso(START + n * MINUTE) for n in (1, 2)]
    lines = api.get(f"{VEHICLES}/V/history", params=window | {"format": "csv"}).text.splitlines()
    assert lines[:2] == [",".join(first), "V,75.1,0.125,-0.7,2026-03-01T00:01:00Z"]


def test_values_and_ids_as_sent(api: httpx.Client, filled: dict[str, str]) -> None:
    path = f"{METERS}/a%2Fb%2C%20%22%C3%BC%22%20%3D1/history"
    text = api.get(path, params=MONTH).text
    assert re.findall(r'"timestamp":"([^"]*)"', text) == [
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00.500000Z",
        "2026-03-01T00:00:00.500001Z",
    ]
    assert [float(kwh) for kwh in re.findall(r'"kwhConsumedAc":([^,]*)', text)] == [1e-7, 0.1, 3]
    assert '"voltage":0.1,' in text
    _, *rows = csv.reader(api.get(path, params=MONTH | {"format": "csv"}).text.splitlines())
    assert {row[0] for row in rows} == {STRANGE}


@pytest.mark.parametrize("start", ["=1+", "+1", "-1", "@A", "-", "M=", " =", "'"])
def test_a_spreadsheet_runs_nothing(api: httpx.Client, filled: dict[str, str], start: str) -> None:
    """Only the id is text; a negative number stays one. Without `safe` all is as it was sent."""
    device_id = f'{start}cmd|"x",2'
    with connect(filled) as connection:
        connection.execute("INSERT INTO vehicles (vehicle_id) VALUES (%s)", (device_id,))
        connection.execute(
            "INSERT INTO vehicle_telemetry_history"
            ' (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)'
            " VALUES (0, %s, 50, -12.5, %s)",
            (START, device_id),
        )
    path = f"{VEHICLES}/{quote(device_id, safe='')}/history"
    values = ["50.0", "0.0", "-12.5", iso(START)]
    defused = f"'{device_id}" if start[0] in "=+-@" else device_id
    for safe, shown in (("false", device_id), ("true", defused)):
        text = api.get(path, params=MONTH | {"format": "csv", "safe": safe}).text
        assert list(csv.reader(text.splitlines()))[1] == [shown, *values]
    assert api.get(path, params=MONTH | {"safe": "true"}).json()[0]["vehicleId"] == device_id


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_pages_are_the_whole(api: httpx.Client, filled: dict[str, str], limit: int) -> None:
    path = f"{METERS}/a%2Fb%2C%20%22%C3%BC%22%20%3D1/history"
    whole = api.get(path, params=MONTH)
    assert "Link" not in whole.headers
    pages = walk(api, path, MONTH | {"limit": limit})
    assert [len(page.json()) for page in pages] == {1: [1, 1, 1], 2: [2, 1]}.get(limit, [3])
    assert [reading for page in pages for reading in page.json()] == whole.json()
    pages = walk(api, path, MONTH | {"limit": limit, "format": "csv"})
    assert len({page.text.splitlines()[0] for page in pages}) == 1
    assert sum(len(page.text.splitlines()) - 1 for page in pages) == 3


def test_a_reading_that_comes_between_two_queries_makes_no_page_longer(
    filled: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lies inside the page, and is committed when the end of the page has been found."""
    execute, readings = AsyncConnection.execute, load_for(METER)["readings"]
    late = iter(range(1, 60))

    async def after_a_late_one(self: Any, query: Any, *parameters: Any, **options: Any) -> Any:
        if query == readings:
            with connect(filled) as connection:
                connection.execute(
                    'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage,'
                    " meter_id) VALUES (1, %s, 230, 'LATE')",
                    (START + timedelta(seconds=next(late)),),
                )
        return await execute(self, query, *parameters, **options)

    monkeypatch.setattr(AsyncConnection, "execute", after_a_late_one)
    with connect(filled) as connection:
        connection.execute("INSERT INTO meters (meter_id) VALUES ('LATE')")
        connection.execute(
            'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)'
            " SELECT 1, %s + n * interval '1 min', 230, 'LATE' FROM generate_series(0, 4) AS n",
            (START,),
        )
    pages = asyncio.run(pages_in_here(filled, MONTH | {"limit": 2}))
    minutes = [iso(START + n * MINUTE) for n in range(5)]
    assert pages == [minutes[:2], minutes[2:4], minutes[4:]]


async def pages_in_here(environment: dict[str, str], query: dict[str, Any]) -> list[list[str]]:
    """The times in each page of LATE's readings, from a route in this process."""
    database = Database(settings_of(environment))
    endpoint = Endpoint(History(METER, database).readings)

    async def readings(request: Request) -> Response:
        return await endpoint(request)

    app = Starlette(routes=[Route("/{id}", readings)])
    pages = []
    await database.run()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as here:
        pages.append(await here.get("/LATE", params=query))
        while following := pages[-1].links.get("next"):
            pages.append(await here.get(following["url"]))
    await database.close()
    return [[reading["timestamp"] for reading in page.json()] for page in pages]


def test_large_pages_are_the_whole(api: httpx.Client, filled: dict[str, str]) -> None:
    pages = walk(api, f"{METERS}/M/history", MONTH | {"limit": 20_000})
    assert [len(page.json()) for page in pages] == [20_000, 20_000, 4_640]
    assert [reading["timestamp"] for page in pages for reading in page.json()] == [
        iso(START + number * MINUTE) for number in range(MONTH_READINGS)
    ]


def test_the_last_day_is_the_default(api: httpx.Client, filled: dict[str, str]) -> None:
    now = datetime.now(UTC)
    with connect(filled) as connection:
        for hours in (25, 23, 0.01):
            when = now - timedelta(hours=hours)
            day = ("meter_telemetry_history", when.date())
            connection.execute("SELECT create_day_partition(%s, %s)", day)
            connection.execute(
                'INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage,'
                " meter_id) VALUES (1, %s, 230, 'SILENT')",
                (when,),
            )
    found = api.get(f"{METERS}/SILENT/history").json()
    assert [one["timestamp"] for one in found] == [
        iso(now - timedelta(hours=hours)) for hours in (23, 0.01)
    ]


def test_unknown_and_silent_devices(api: httpx.Client, filled: dict[str, str]) -> None:
    for path in (f"{METERS}/V/history", f"{VEHICLES}/M/history", f"{METERS}/%00/history"):
        check_problem(api.get(path), 404)
    assert api.get(f"{VEHICLES}/V/history").json() == []
    empty = api.get(f"{METERS}/M/history?format=csv").text
    assert empty == ",".join(METER.json_names) + "\n"
    with connect(filled) as connection:
        connection.execute(
            'INSERT INTO meter_live_state (kwh_consumed_ac, "timestamp", voltage, meter_id)'
            " VALUES (1, now(), 230, 'UNREGISTERED')"
        )
    assert api.get(f"{METERS}/UNREGISTERED/history").json() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("startTime=2026-03-01T00:00:00Z&endTime=2026-03-01T00:00:00Z", "startTime"),
        ("startTime=2026-03-02T00:00:00Z&endTime=2026-03-01T00:00:00Z", "startTime"),
        ("startTime=2025-01-01T00:00:00Z&endTime=2026-01-02T00:00:01Z", "startTime"),
        ("startTime=2026-03-01", "startTime"),
        ("format=xml", "format"),
        ("limit=0", "limit"),
        ("limit=1000001", "limit"),
        ("from=x", "from"),
    ],
)
def test_bad_queries_are_400(
    api: httpx.Client, filled: dict[str, str], query: str, field: str
) -> None:
    problem = check_problem(api.get(f"{METERS}/M/history?{query}"), 400)
    assert [entry["field"] for entry in problem["details"]] == [field]


def test_a_year_may_be_asked_for(api: httpx.Client, filled: dict[str, str]) -> None:
    window = {"startTime": "2025-06-01T00:00:00Z", "endTime": "2026-06-02T00:00:00Z"}
    assert len(api.get(f"{METERS}/M/history", params=window).json()) == MONTH_READINGS


def test_head_reads_nothing(api: httpx.Client, filled: dict[str, str]) -> None:
    answer = api.head(f"{METERS}/M/history", params=MONTH | {"limit": 10})
    assert (answer.status_code, answer.content) == (200, b"")
    assert "next" in answer.links


def test_memory_stays_flat(filled: dict[str, str]) -> None:
    with ApiProcess(filled) as process:
        status = Path(f"/proc/{process.process.pid}/status")
        process.http.get(f"{METERS}/M/history", params=MONTH | {"limit": 6_000})
        before = _peak_kib(status)
        for form, a_reading in (("json", b"}"), ("csv", b"\n")):
            path = f"{METERS}/DENSE/history"
            count = 0
            with process.http.stream("GET", path, params=MONTH | {"format": form}) as answer:
                for chunk in answer.iter_bytes():
                    count += chunk.count(a_reading)
            assert count == MANY + (form == "csv")
        assert _peak_kib(status) - before < FLAT_KIB


def _peak_kib(status: Path) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found
    return int(found[1])


def test_stuck_clients_keep_nobody_waiting(filled: dict[str, str]) -> None:
    with ApiProcess({**filled, "DB_POOL_SIZE": "2"}) as process, ExitStack() as open_streams:
        for _ in range(8):
            streamed = process.http.stream("GET", f"{METERS}/DENSE/history", params=MONTH)
            answer = open_streams.enter_context(streamed)
            chunks = answer.iter_bytes()
            assert next(chunks).startswith(b"[{")
        for _ in range(4):
            assert process.http.get("/v1/devices/meters/M").status_code == 200
        assert sum(chunk.count(b"}") for chunk in chunks) > MANY / 2
        assert "cut short" not in process.log


@pytest.mark.parametrize("form", ["json", "csv"])
def test_an_answer_cut_short_has_no_end(filled: dict[str, str], form: str) -> None:
    rename = "ALTER TABLE {} RENAME TO {}"
    query = MONTH | {"format": form}
    with ApiProcess(filled) as process, connect(filled) as connection:
        table, hidden = "meter_telemetry_history", "hidden"
        with process.http.stream("GET", f"{METERS}/DENSE/history", params=query) as answer:
            chunks = answer.iter_bytes()
            next(chunks)
            connection.execute(rename.format(table, hidden))
            try:
                with pytest.raises(httpx.RemoteProtocolError):
                    list(chunks)
            finally:
                connection.execute(rename.format(hidden, table))
        process.says("cut short", "DENSE")
        assert "Traceback" not in process.log
        check_problem(process.http.get(f"{METERS}/M/history?limit=x"), 400)


def test_only_the_windows_days_are_read_in_order(filled: dict[str, str]) -> None:
    window = {"start": START + 3 * DAY, "end": START + 5 * DAY, "id": "M", "limit": 5_000}
    with connect(filled) as connection:
        for stream, name in product(STREAMS.values(), ("readings", "beyond_limit")):
            query = sql.SQL("EXPLAIN {}").format(load_for(stream)[name])
            rows = connection.execute(query, window).fetchall()
            plan = "\n".join(line for (line,) in rows)
            assert "2026_03_04" in plan and "2026_03_05" in plan
            assert "2026_03_03" not in plan and "2026_03_06" not in plan
            if stream is METER:
                assert "Sort" not in plan and "Seq Scan" not in plan


def test_readings_come_back_as_they_were_posted(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    second = datetime.now(UTC).replace(microsecond=0) - MINUTE
    times = [iso(second), iso(second + timedelta(milliseconds=1500))]
    sent = [meter("POSTED", voltage=229.99, timestamp=when) for when in times]
    assert api.post("/v1/telemetry/ingest/batch", json={"records": sent}).status_code == 202
    path = f"{METERS}/POSTED/history"
    with WorkerProcess(environment):
        wait_until(lambda: len(api.get(path).json()) == 2, "both are stored")
    assert api.get(path).json() == [record["payload"] for record in sent]
