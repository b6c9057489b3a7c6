"""A stream that is described in one place goes the whole way: from Kafka to the books and HTTP."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from psycopg.rows import dict_row

from tests.charger import CHARGER, MIGRATION
from tests.conftest import create_topics
from tests.connections import connect
from tests.kafka import send
from tests.rights import all_by_owner
from tests.workers import ROOT, command, wait_until

NOW = datetime.now(UTC).replace(microsecond=0)


def reading(minutes_ago: int = 0, **fields: Any) -> dict[str, Any]:
    """A charger's reading; every field may be overridden."""
    time = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    return {"chargerId": "C-1", "powerKw": 11.5, "timestamp": time} | fields


@contextmanager
def running(environment: dict[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the project that knows the third stream; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.charger", *words],
        env={**os.environ, **environment},
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def environment(own_environment: dict[str, str]) -> dict[str, str]:
    """Services with the third stream's tables and topic; the other two have theirs."""
    own_environment = all_by_owner(own_environment)
    with connect(own_environment) as connection:
        connection.execute(MIGRATION)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    topic = own_environment["KAFKA_METER_TOPIC"].replace("meter", "charger")
    asyncio.run(create_topics(own_environment, [topic]))
    return {**own_environment, "KAFKA_CHARGER_TOPIC": topic, "APP_PORT": port}


@pytest.fixture
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """An API with the third stream."""
    with (
        running(environment, "api"),
        httpx.Client(base_url=f"http://127.0.0.1:{environment['APP_PORT']}") as client,
    ):

        def healthy() -> bool:
            try:
                return bool(client.get("/health").json()["status"] == "healthy")
            except httpx.TransportError:
                return False

        wait_until(healthy, "the API is healthy")
        yield client


def books(environment: dict[str, str]) -> dict[str, Any]:
    """What `reconcile` of a process that knows the third stream says."""
    done = command(environment, "tests.charger", "ingest_worker", "reconcile", "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["balanced"], report
    return report


def test_a_third_stream_goes_the_whole_way(environment: dict[str, str], api: httpx.Client) -> None:
    sent = [
        reading(3, cableTemp=40.25),
        reading(2),
        reading(1, cableTemp=None),
        reading(2, cableTemp=None),  # NULL equals NULL: a duplicate of the second
        reading(3, cableTemp=41),  # a conflict with the first
        reading(2, cableTemp=41),  # a conflict with the second, which has none
    ]
    records = [{"streamType": "charger", "payload": one} for one in sent]
    answer = api.post(
        "/v1/telemetry/ingest/batch",
        json={"records": [*records, {"streamType": "charger", "payload": reading(powerKw=1001)}]},
    )
    assert answer.status_code == 202, answer.text
    (error,) = answer.json()["errors"]
    assert (error["index"], error["reason"]) == (6, "invalid")
    assert "powerKw" in error["message"]

    # Only from Kafka is a reading taken without its bad cable, and never without its power.
    topic = {"KAFKA_METER_TOPIC": environment["KAFKA_CHARGER_TOPIC"]}
    salvaged, hopeless = reading(4, cableTemp=999), reading(5, cableTemp=999, powerKw=-1)
    send({**environment, **topic}, json.dumps([salvaged, hopeless]).encode())
    worker = {**environment, "METRICS_PORT": "0", "SALVAGE_READINGS": "true"}
    with running(worker, "ingest_worker"):
        wait_until(
            lambda: sum(t["read"] for t in api.get("/v1/telemetry/stats").json()["topics"]) == 8,
            "all were read",
        )
    report = books(environment)
    assert report["total"] == {"read": 8, "stored": 4, "duplicate": 1, "rejected": 3}
    assert {row["topic"] for row in report["partitions"] if row["read"]} == {
        environment["KAFKA_CHARGER_TOPIC"]
    }

    with connect(environment) as connection, connection.cursor(row_factory=dict_row) as cursor:
        (repaired,) = cursor.execute(
            "SELECT changed, outcome FROM rejected_records WHERE reason = 'repaired'"
        ).fetchall()
        assert repaired == {"changed": "drop cableTemp", "outcome": "stored"}
        rejected = cursor.execute(
            "SELECT detail FROM rejected_records WHERE reason = 'conflict' ORDER BY id"
        ).fetchall()
        assert [row["detail"] for row in rejected] == [
            "stored already with powerKw 11.5, cableTemp 40.25",
            "stored already with powerKw 11.5, cableTemp null",
        ]
        (live,) = cursor.execute("SELECT * FROM charger_live_state").fetchall()
        assert (live["charger_id"], live["power_kw"], live["cable_temp"]) == ("C-1", 11.5, None)
        assert live["timestamp"] == NOW - timedelta(minutes=1)
        logged = cursor.execute("SELECT count(*) AS entries FROM rollup_log").fetchall()
        assert logged == [{"entries": 0}]

    history = f"/v1/telemetry/{CHARGER.plural}/C-1/history"
    shown = api.get(history).json()
    assert [one.get("cableTemp") for one in shown] == [None, 40.25, None, None]
    assert list(shown[1]) == ["chargerId", "cableTemp", "powerKw", "timestamp"]
    assert "cableTemp" not in shown[0]
    header, *lines = api.get(history, params={"format": "csv"}).text.splitlines()
    assert header == "chargerId,cableTemp,powerKw,timestamp"
    assert [line.split(",")[1] for line in lines] == ["", "40.25", "", ""]
    assert api.get(f"/v1/telemetry/{CHARGER.plural}/C-2/history").status_code == 404

    schemas = api.get("/openapi.json").json()["components"]["schemas"]
    power = schemas["ChargerReading"]["properties"]["powerKw"]
    assert (power["minimum"], power["maximum"]) == (0, 1000)
    assert "cableTemp" not in schemas["ChargerReading"]["required"]
