"""How PostgreSQL answers: through the index, and from the day partitions of the window alone."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import psycopg
import pytest
from psycopg import sql

from api.database import Connection
from api.grouped import of_rollups
from api.routes.fleet import read_meter
from api.vehicle_sums import sums
from schemas.analytics import Window
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from schemas.streams.times import to_micros
from sql import store
from sql.named import load, load_for
from tests.connections import connect, connect_async

TODAY = datetime(2026, 3, 20, tzinfo=UTC)
DAYS = 60
HISTORIES = ("meter_telemetry_history", "vehicle_telemetry_history")


@pytest.fixture(scope="module")
def connection(environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """60 days, readings every minute of the last 4 of them, one session of each vehicle a day.

    Devices with an even number are registers.
    """
    with connect(environment) as connection:
        for table in HISTORIES:
            for day in range(-DAYS, 2):
                connection.execute(
                    "SELECT create_day_partition(%s, %s)",
                    (table, (TODAY + timedelta(days=day)).date()),
                )
        connection.execute(
            """INSERT INTO meters (meter_id, energy_reading)
            SELECT 'M' || n, CASE n % 2 WHEN 0 THEN 'register' END FROM generate_series(1, 30) AS n;
            INSERT INTO vehicles (vehicle_id, energy_reading)
            SELECT 'V' || n, CASE n % 2 WHEN 0 THEN 'register' END FROM generate_series(1, 30) AS n;
            INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at)
            SELECT 'M' || n, 'V' || n, day + interval '1 hour', day + interval '3 hours'
            FROM generate_series(1, 30) AS n,
                generate_series('2026-03-17'::timestamptz, '2026-03-20', '1 day') AS day;
            INSERT INTO meter_telemetry_history (meter_id, "timestamp", kwh_consumed_ac, voltage)
            SELECT 'M' || n, at, 1, 230
            FROM generate_series(1, 30) AS n,
                generate_series('2026-03-17'::timestamptz, '2026-03-20T23:59', '1 minute') AS at;
            INSERT INTO vehicle_telemetry_history
                (vehicle_id, "timestamp", kwh_delivered_dc, soc, battery_temp)
            SELECT 'V' || n, at, 1, 50, 20
            FROM generate_series(1, 30) AS n,
                generate_series('2026-03-17'::timestamptz, '2026-03-20T23:59', '1 minute') AS at"""
        )
        connection.execute("VACUUM ANALYZE")
        yield connection


def scans(
    connection: psycopg.Connection[Any], query: sql.Composable, parameters: dict[str, Any]
) -> dict[str, set[str]]:
    """The tables the query really looked into, and by which kinds of nodes."""
    explained = connection.execute(
        sql.SQL("EXPLAIN (ANALYZE, FORMAT json) {}").format(query), parameters
    )
    ((((plan,),),)) = explained.fetchall()
    found: dict[str, set[str]] = {}
    for node in nodes(plan["Plan"]):
        if "Relation Name" in node and node["Actual Loops"]:
            found.setdefault(node["Relation Name"], set()).add(node["Node Type"])
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan's node and all below it."""
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


def history_days(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Of each history, the days that were looked into."""
    return {
        history: {table[-10:] for table in found if table.startswith(f"{history}_2026")}
        for history in HISTORIES
    }


class Explained:
    """A connection that also notes what each of its queries looks into."""

    def __init__(self, connection: psycopg.Connection[Any], answers: Connection) -> None:
        self._explains, self._answers = connection, answers
        self.found: dict[str, set[str]] = {}

    async def execute(
        self, query: sql.SQL, parameters: dict[str, Any], prepare: bool | None = None
    ) -> Any:
        for table, kinds in scans(self._explains, query, parameters).items():
            self.found.setdefault(table, set()).update(kinds)
        return await self._answers.execute(query, parameters, prepare=prepare)


Asks = Callable[[Connection], Awaitable[Any]]


@pytest.fixture(scope="module")
def scans_of(
    connection: psycopg.Connection[Any], environment: dict[str, str]
) -> Callable[[Asks], dict[str, set[str]]]:
    """The scans of all queries of a coroutine."""

    async def ask(coroutine: Asks) -> dict[str, set[str]]:
        async with await connect_async(environment) as answers:
            explained = Explained(connection, answers)
            await coroutine(cast(Connection, explained))
        return explained.found

    return lambda coroutine: asyncio.run(ask(coroutine))


def of_vehicle(vehicle: str, first: datetime, past: datetime) -> Asks:
    return lambda connection: sums(connection, Settings(), vehicle, Window(first, past))


@pytest.mark.parametrize("vehicle", ["V1", "V2"])
def test_a_vehicles_figures_are_read_from_the_index_of_its_days(
    scans_of: Callable[[Asks], dict[str, set[str]]], vehicle: str
) -> None:
    start = TODAY - timedelta(days=2, hours=-2)
    found = scans_of(of_vehicle(vehicle, start, start + timedelta(days=1)))
    window_days = {"2026_03_18", "2026_03_19"}
    assert history_days(found) == dict.fromkeys(HISTORIES, window_days)
    kinds = {kind for table, kinds in found.items() if "history" in table for kind in kinds}
    assert kinds == {"Index Only Scan"}


def test_a_base_is_looked_for_day_by_day_from_the_newest_on(
    scans_of: Callable[[Asks], dict[str, set[str]]],
) -> None:
    found = scans_of(of_vehicle("V2", TODAY, TODAY + timedelta(hours=21)))
    assert history_days(found) == {
        "meter_telemetry_history": {"2026_03_20"},
        "vehicle_telemetry_history": {"2026_03_19", "2026_03_20"},
    }
    before = TODAY - timedelta(days=10)
    lonely = scans_of(of_vehicle("V2", before, before + timedelta(days=1)))
    days = history_days(lonely)["vehicle_telemetry_history"]
    assert (len(days), max(days)) == (31 + 1 + 7, "2026_03_17"), (
        "31 days back, on to the next reading"
    )


@pytest.mark.parametrize("kind", ["meter", "vehicle"])
def test_history_is_read_through_the_key_of_its_days(
    connection: psycopg.Connection[Any], kind: str
) -> None:
    start = TODAY - timedelta(days=2)
    device = {"id": f"{kind[0].upper()}3", "start": start, "end": start + timedelta(days=1)}
    for name in ("beyond_limit", "readings"):
        query = load_for(STREAMS[kind])[name]
        found = scans(connection, query, device | {"limit": 1000})
        assert list(found) == [f"{kind}_telemetry_history_2026_03_18"]
        assert found.popitem()[1] <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}


def test_a_meters_figures_are_read_from_the_index_of_its_days(
    scans_of: Callable[[Asks], dict[str, set[str]]],
) -> None:
    first, past = TODAY - timedelta(days=2, hours=-2), TODAY - timedelta(days=1, hours=2)
    window = Window(first, past)
    found = scans_of(lambda connection: read_meter(connection, Settings(), "M3", window))
    assert history_days(found)["meter_telemetry_history"] == {"2026_03_18"}
    assert found["meter_telemetry_history_2026_03_18"] == {"Index Only Scan"}


@pytest.mark.parametrize("statement", ["charger_groups", "vehicle_groups", "elsewhere"])
def test_rollups_of_one_device_are_read_through_their_keys(
    connection: psycopg.Connection[Any], statement: str
) -> None:
    connection.execute(
        """INSERT INTO charger_hours
        SELECT hour, 60, 60, 0, 0, 0, 0, 1, 1, 0, 0, 3600, 3600, NULL, NULL, 'M' || n, 'V' || n
        FROM generate_series(1, 200) AS n,
            generate_series('2026-03-17'::timestamptz, '2026-03-20', '1 hour') AS hour
        ON CONFLICT DO NOTHING;
        INSERT INTO vehicle_days (hour, vehicle_id, readings, ac_readings, dc_readings,
            counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)
        SELECT day, 'V' || n, 1440, 120, 120, 0, 20, 1, 1, 0
        FROM generate_series(1, 200) AS n,
            generate_series('2026-01-01'::timestamptz, '2026-03-20', '1 day') AS day
        ON CONFLICT DO NOTHING;
        ANALYZE charger_hours, vehicle_days"""
    )
    window = Window(TODAY - timedelta(days=60), TODAY)
    parameters = of_rollups(Settings(), window, TODAY, "day")
    parameters |= {"meter_id": "M4", "vehicle_id": "V3", "vehicle_ids": ["V3"]}
    found = scans(connection, load("grouped")[statement], parameters)
    table = "vehicle_days" if statement == "vehicle_groups" else "charger_hours"
    assert found[table] <= {"Index Scan", "Bitmap Heap Scan"}


def test_live_state_is_read_by_its_key(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        """INSERT INTO vehicle_live_state (vehicle_id, kwh_delivered_dc, "timestamp", soc,
            battery_temp)
        SELECT 'V' || n, 1, now(), 50, 20 FROM generate_series(1, 5000) AS n"""
    )
    connection.execute("ANALYZE vehicle_live_state")
    found = scans(connection, load("analytics")["realtime"], {"vehicle_id": "V7"})
    assert found["vehicle_live_state"] == {"Index Scan"}


def test_rejected_readings_are_counted_and_found_through_the_index_of_the_open_ones(
    connection: psycopg.Connection[Any],
) -> None:
    connection.execute(
        """INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms, reason,
            detail, raw, resolved_at)
        SELECT CASE n % 20 WHEN 0 THEN 'g:replay' ELSE 'g' END, (ARRAY['m', 'v'])[1 + n % 2],
            0, n, 0, CASE n % 30 WHEN 0 THEN 'conflict' ELSE 'invalid' END, repeat('-', 500), '',
            CASE n % 3 WHEN 0 THEN now() END
        FROM generate_series(1, 20000) AS n"""
    )
    connection.execute("VACUUM ANALYZE rejected_records")
    books = {"group_id": "g", "topics": ["m", "v"]}
    found = scans(connection, load("telemetry")["rejected_by_reason"], books)
    assert found["rejected_records"] == {"Index Only Scan"}
    grouped = {**dict.fromkeys(("topic", "device_id", "reason", "after")), "resolved": False}
    times = {"oldest": 0, "newest": 0, "limit": 100, "topics": ["m"], "reading_topics": ["m"]}
    found = scans(connection, load("rejected")["groups"], grouped | times)
    assert found["rejected_records"] == {"Index Only Scan", "Index Scan"}
    filters: dict[str, str | None] = {"topic": "m", "reason": "conflict"}
    filters |= dict.fromkeys(("device_id", "since", "until"))
    found = scans(connection, load("rejected")["select_open"], filters)
    assert found["rejected_records"] <= {"Index Only Scan", "Index Scan", "Bitmap Heap Scan"}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_staged_readings_are_each_looked_up_in_the_key(
    connection: psycopg.Connection[Any], environment: dict[str, str], stream: Stream
) -> None:
    """With the plan that serves any batch, of which the planner knows nothing."""
    day = TODAY - timedelta(days=1)
    bounds = to_micros(day), to_micros(TODAY) - 1
    columns = ", ".join(f'"{column}"' for column in stream.row_columns)
    template = load_for(stream)["select_conflicts"].as_string()
    query = template.replace("%s", "$1", 1).replace("%s", "$2", 1)
    with connect(environment) as worker, worker.transaction():
        store.prepare(worker)
        worker.execute(
            f"""INSERT INTO staged_{stream.name} (seq, {columns})
            SELECT row_number() OVER (), {columns} FROM {stream.history_table}
            WHERE "timestamp" >= %s AND "timestamp" < %s""".encode(),
            (day, TODAY),
        )
        worker.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        worker.execute(f"PREPARE look (int8, int8) AS {query}".encode())
        explained = worker.execute(f"EXPLAIN (ANALYZE, FORMAT json) EXECUTE look {bounds}".encode())
        ((((plan,),),)) = explained.fetchall()
    looked = {
        node["Relation Name"]: (node["Node Type"], node["Actual Loops"])
        for node in nodes(plan["Plan"])
        if node.get("Relation Name", "").startswith(stream.history_table) and node["Actual Loops"]
    }
    key_look = ("Index Scan", 30 * 24 * 60)
    assert looked == {f"{stream.history_table}_{day:%Y_%m_%d}": key_look}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_the_hours_of_a_whole_history_are_found_through_its_devices_keys(
    connection: psycopg.Connection[Any], stream: Stream
) -> None:
    device = f"{stream.name[0].upper()}3"
    units = load("rollup_units")
    with connection.transaction():
        connection.execute(units["begin"])
        entry = (TODAY - timedelta(days=DAYS), TODAY + timedelta(days=1), stream.name, [device])
        connection.execute("INSERT INTO taken VALUES (%s, %s, %s, %s)", entry)
        explained = connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, FORMAT json) {}").format(units["touch_what_there_is"]),
            {"short": timedelta(days=1)},
        )
        ((((plan,),),)) = explained.fetchall()
        found = connection.execute("SELECT count(*) FROM touched").fetchone()
    assert found == (4 * 24,)
    looked = [
        node
        for node in nodes(plan["Plan"])
        if "history" in node.get("Relation Name", "") and node["Actual Loops"]
    ]
    assert {node["Relation Name"][:7] for node in looked} >= {stream.history_table[:7]}
    for node in looked:
        assert node["Node Type"] == "Index Only Scan"
        assert "_id = " in node["Index Cond"], node
