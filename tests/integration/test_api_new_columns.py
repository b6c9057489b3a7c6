"""A migration may add a column to a table while the API runs and has statements prepared."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx

from tests.api_process import ApiProcess
from tests.connections import connect
from tests.readings import iso, meter, vehicle
from tests.workers import WorkerProcess, wait_until

ENOUGH = 8
"""How often a statement is asked until psycopg has prepared it, with some to spare."""
TABLES = (
    "meters",
    "vehicles",
    "charging_sessions",
    "rejected_records",
    "meter_live_state",
    "vehicle_live_state",
    "meter_telemetry_history",
    "vehicle_telemetry_history",
)
TIMES = {"startedAt": iso(datetime.now(UTC) - timedelta(hours=1))}


def test_prepared_statements_live_through_a_new_column(own_environment: dict[str, str]) -> None:
    with ApiProcess({**own_environment, "DB_POOL_SIZE": "1"}) as process:
        fill(process.http, own_environment)
        for _ in range(ENOUGH):
            assert [answer for answer in everything(process.http) if answer.is_error] == []
        with connect(own_environment) as connection:
            one = (
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE application_name = 'energy-api' AND datname = current_database()"
            )
            shown = connection.execute(one).fetchone()
            assert shown == (4,), "the pool's, the keys', and two of who keeps the alerts"
            for table in TABLES:
                connection.execute(f"ALTER TABLE {table} ADD COLUMN added text".encode())
        failed = [answer for answer in everything(process.http) if answer.is_error]
        assert [(str(answer.request.url), answer.text) for answer in failed] == []


def fill(http: httpx.Client, environment: dict[str, str]) -> None:
    for kind in ("meter", "vehicle"):
        http.post(f"/v1/devices/{kind}s", json={f"{kind}Id": "D"}).raise_for_status()
    batch = {"records": [meter("D"), vehicle("D")]}
    http.post("/v1/telemetry/ingest/batch", json=batch).raise_for_status()
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " reason, detail, raw) VALUES ('g', 't', 0, 0, 0, 'invalid', '', '')"
        )
    with WorkerProcess(environment):
        paths = [f"/v1/devices/{kind}/D/state" for kind in ("meters", "vehicles")]
        wait_until(lambda: all(http.get(path).is_success for path in paths), "both are stored")


def everything(http: httpx.Client) -> Iterator[httpx.Response]:
    """One answer of every query that gives rows of these tables."""
    for kind in ("meter", "vehicle"):
        path = f"/v1/devices/{kind}s"
        yield http.post(path, json={f"{kind}Id": str(uuid4())})
        yield http.get(path)
        yield http.get(f"{path}/D")
        yield http.get(f"{path}/D/state")
        yield http.patch(f"{path}/D", json={"metadata": {"some": "thing"}})
        yield http.get(f"/v1/telemetry/{kind}s/D/history")
    pair = {"meterId": str(uuid4()), "vehicleId": str(uuid4())}
    for kind in ("meter", "vehicle"):
        http.post(f"/v1/devices/{kind}s", json={f"{kind}Id": pair[f"{kind}Id"]}).raise_for_status()
    started = http.post("/v1/sessions/start", json=pair | TIMES)
    yield started
    path = f"/v1/sessions/{started.json().get('sessionId')}"
    yield http.get("/v1/sessions/active")
    yield http.post(f"{path}/end")
    yield http.patch(path, json=TIMES)
    yield http.get(path)
    yield http.get("/v1/sessions")
    yield http.get(f"/v1/analytics/sessions/{path.rsplit('/')[-1]}")
    yield http.get(f"/v1/analytics/meters/{pair['meterId']}")
    yield http.get("/v1/analytics/performance/D")
    yield http.get("/v1/analytics/realtime/D")
    yield http.get("/v1/analytics/fleet")
    yield http.get("/v1/devices/silent")
    yield http.get("/v1/telemetry/rejected")
    yield http.get("/v1/telemetry/rejected/1")
    yield http.get("/v1/telemetry/stats")
