"""The whole path on one database, through real processes, and all that it answers.

On whatever server the database is, and whatever its defaults are, the answers are the same.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaProducer

from ingest_worker.connections import Connections
from ingest_worker.housekeeping.rounds import do_rounds
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.kafka import options_of
from tests.readings import array_value, iso, meter_value, vehicle_value
from tests.settings import settings_of
from tests.workers import WorkerProcess, books, command, counted, wait_until

DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
START, END = DAY + timedelta(hours=9), DAY + timedelta(hours=13)
METER, REGISTER, VEHICLE = "Säule-€1", "MTR-2", "VH-1"
OLD_DAYS, REFUSED_DAYS = 10, 30
"""Ages of readings: one is stored and retired later, the other is too old at first."""
BEFORE_RETENTION = {"MAX_READING_AGE_DAYS": "20"}
RETENTION = {"RETENTION_DAYS": "3"}
TIMES_OF_THE_RUN = {"createdAt", "updatedAt", "rejectedAt", "resolvedAt", "asOf", "since"}
VOLATILE = TIMES_OF_THE_RUN | {"id", "sessionId", "resolvedBy"}
"""Fields that differ from run to run."""
READINGS = 56
REJECTED = 4


def send(environment: dict[str, str]) -> None:
    """Produce what every database is to read: good, repeated, late, differing, bad, too old."""
    asyncio.run(_produce(environment))


async def _produce(environment: dict[str, str]) -> None:
    hours = [START + timedelta(minutes=15 * n) for n in range(16)]
    old = [DAY - timedelta(days=days) for days in (OLD_DAYS, REFUSED_DAYS)]
    meters = [
        *(meter_value(METER, time, 0.1 + n / 7) for n, time in enumerate(hours)),
        array_value(*(meter_value(REGISTER, time, 100 + n / 3) for n, time in enumerate(hours))),
        meter_value(METER, hours[3], 0.1 + 3 / 7),
        meter_value(METER, hours[3], 99),
        b"\xffjunk",
        b'{"meterId":"M","kwhConsumedAc":1e400}',
        array_value(meter_value(METER, kwh=-1), meter_value("LATE", START - timedelta(days=2))),
        *(meter_value(METER, time) for time in old),
    ]
    vehicles = [vehicle_value(VEHICLE, time, n / 9) for n, time in enumerate(hours)]
    async with AIOKafkaProducer(**options_of(environment)) as producer:
        for stream, values in {"METER": meters, "VEHICLE": vehicles}.items():
            topic = environment[f"KAFKA_{stream}_TOPIC"]
            for value in values:
                await producer.send_and_wait(topic, value, partition=0)


def walk(environment: dict[str, str]) -> dict[str, Any]:
    """Walk the whole path on the environment's empty database; returns all answers, by question."""
    done = command(environment, "sql", "migrate")
    assert done.returncode == 0, done.stderr
    with ApiProcess(environment) as api:
        _register(api)
        with WorkerProcess(environment | BEFORE_RETENTION) as worker:
            wait_until(lambda: counted(environment)["read"] == READINGS, "all were read")
            assert worker.terminate() == 0, worker.log
        replayed = command(
            environment, "ingest_worker", "rejected", "replay", "--reason", "too_old"
        )
        assert (replayed.returncode, replayed.stdout) == (0, "stored: 1\n"), replayed.stderr
        _keep_house(environment)
        answers = _answers(environment, api)
        assert api.terminate() == 0
    return answers


def _register(api: ApiProcess) -> None:
    """Register devices, and enter a session that is over."""
    meters = [{"meterId": METER}, {"meterId": REGISTER, "energyReading": "register"}]
    for body in meters:
        answer = api.http.post("/v1/devices/meters", json=body | {"metadata": {"ort": "Köln"}})
        assert answer.status_code == 201, answer.text
    answer = api.http.post("/v1/devices/vehicles", json={"vehicleId": VEHICLE, "model": "Ä"})
    assert answer.status_code == 201, answer.text
    session = {"meterId": METER, "vehicleId": VEHICLE, "startedAt": iso(START)}
    answer = api.http.post("/v1/sessions/start", json=session)
    assert answer.status_code == 201, answer.text
    path = f"/v1/sessions/{answer.json()['sessionId']}/end"
    answer = api.http.post(path, json={"endedAt": iso(END - timedelta(minutes=90))})
    assert answer.status_code == 200, answer.text


def _keep_house(environment: dict[str, str]) -> None:
    """Have a worker bring the rollups up to date and retire old days; pack the day."""
    with WorkerProcess(environment | RETENTION) as worker, connect(environment) as connection:
        retired = "SELECT sum(rows) FROM retired_days"
        wait_until(lambda: connection.execute(retired).fetchone() == (2,), "old days went")
        assert worker.terminate() == 0, worker.log
        connection.execute("SELECT pg_stat_force_next_flush()")
        settings = settings_of(environment | RETENTION)
        packed = "SELECT count(*) > 0 FROM packed_days WHERE key_bytes IS NOT NULL"

        def is_packed() -> bool:
            do_rounds(settings, Connections(), datetime.now(UTC) + timedelta(days=1))
            return connection.execute(packed).fetchone() == (True,)

        wait_until(is_packed, "a day was packed")
        assert connection.execute("SELECT count(*) FROM rollup_log").fetchone() == (0,)


def _answers(environment: dict[str, str], api: ApiProcess) -> dict[str, Any]:
    window = {"startTime": iso(START), "endTime": iso(END)}
    asked: dict[str, dict[str, str]] = {
        f"/v1/analytics/performance/{VEHICLE}": window,
        f"/v1/analytics/meters/{METER}": window,
        f"/v1/analytics/meters/{REGISTER}": window,
        f"/v1/analytics/realtime/{VEHICLE}": {},
        "/v1/analytics/fleet": window,
        f"/v1/telemetry/meters/{METER}/history": window,
        f"/v1/telemetry/vehicles/{VEHICLE}/history": window,
        f"/v1/telemetry/meters/{REGISTER}/history": {**window, "format": "csv"},
        "/v1/telemetry/rejected": {"reason": "conflict"},
        "/v1/devices/meters": {},
        f"/v1/devices/vehicles/{VEHICLE}": {},
        f"/v1/devices/vehicles/{VEHICLE}/state": {},
        "/v1/devices/silent": {},
        "/v1/sessions": {"vehicleId": VEHICLE},
    }
    answers: dict[str, Any] = {}
    for path, query in asked.items():
        answer = api.http.get(path, params=query)
        assert answer.status_code == 200, (path, answer.text)
        is_json = answer.headers["content-type"].startswith("application/json")
        answers[path] = _lasting(answer.json()) if is_json else answer.text
    (malformed,) = api.http.get("/v1/telemetry/rejected?reason=malformed").json()
    path = f"/v1/telemetry/rejected/{malformed['id']}"
    answers["malformed"] = _lasting(api.http.get(path).json())
    refused = api.http.post(f"{path}/replay")
    answers["replay"] = (refused.status_code, refused.json()["message"])
    shown = command(environment, "ingest_worker", "rejected", "show", str(malformed["id"]))
    assert shown.returncode == 0, shown.stderr
    answers["show"] = shown.stdout.splitlines()[-1]
    answers["books"] = books(environment)["total"]
    return answers


def _lasting(value: Any) -> Any:
    """The JSON value without the fields that differ from run to run."""
    if isinstance(value, dict):
        return {name: _lasting(inner) for name, inner in value.items() if name not in VOLATILE}
    return [_lasting(inner) for inner in value] if isinstance(value, list) else value
