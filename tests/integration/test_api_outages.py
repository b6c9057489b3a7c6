"""The API while PostgreSQL or Kafka is away, and how it starts and stops.

The tests that break services have a stack of their own for it.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from devstack.ports import Ports
from devstack.stack import Stack
from sql.migrate import migrate
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.connections import connect, waiting_for_locks
from tests.readings import meter
from tests.rights import administrator
from tests.workers import ROOT, wait_until

INGEST = "/v1/telemetry/ingest"
METERS = "/v1/devices/meters"
LIMIT_S = 10.0
FAST_S = 2.0
SOON_S = 15.0


@pytest.fixture(scope="module")
def breakable(breakable_stack: Stack) -> dict[str, str]:
    """A database and topics on services that the tests stop, kill and freeze."""
    return fresh_environment(breakable_stack.environment)


@pytest.fixture(scope="module")
def process(breakable: dict[str, str]) -> Iterator[ApiProcess]:
    with ApiProcess(breakable) as running:
        yield running


def unavailable(answer: httpx.Response) -> bool:
    if answer.status_code != 503:
        return False
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["statusCode"] == 503
    return True


@pytest.mark.parametrize(("end", "again"), [("kill", "start"), ("freeze", "thaw")])
def test_kafka_away(stack: Stack, process: ApiProcess, end: str, again: str) -> None:
    http, kafka = process.http, stack.service("kafka")
    assert http.post(INGEST, json=meter()).status_code == 202
    getattr(kafka, end)()
    try:
        with ThreadPoolExecutor(8) as clients:
            answers = list(
                clients.map(lambda n: http.post(INGEST, json=meter(f"M-{n}")), range(24))
            )
        assert all(unavailable(answer) for answer in answers)
        assert all(answer.elapsed.total_seconds() < LIMIT_S for answer in answers)
        batch = http.post(f"{INGEST}/batch", json={"records": [meter("M-1"), meter("M-2")]})
        assert unavailable(batch)
        assert batch.elapsed.total_seconds() < FAST_S  # nothing is queued behind what is stuck
        assert http.get(METERS).status_code == 200
        assert http.get("/health/ready").status_code == 200
        health = http.get("/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")
        assert health.json()["checks"]["kafka"]["status"] == "down"
        assert [t["lag"] for t in http.get("/v1/telemetry/stats").json()["topics"]] == [None, None]
    finally:
        getattr(kafka, again)()
    wait_until(
        lambda: http.post(INGEST, json=meter()).status_code == 202, "202 again", patience_s=SOON_S
    )
    wait_until(lambda: http.get("/health").json()["status"] == "healthy", "healthy again")


@pytest.mark.parametrize(
    ("end", "again"), [("stop", "start"), ("kill", "start"), ("freeze", "thaw")]
)
def test_postgres_away(stack: Stack, process: ApiProcess, end: str, again: str) -> None:
    http, postgres = process.http, stack.service("postgres")
    assert http.get(METERS).status_code == 200
    getattr(postgres, end)()
    try:
        assert unavailable(http.get(METERS))
        assert unavailable(http.get("/health/ready"))
        assert http.get("/health/live").status_code == 200
        health = http.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
        assert http.post(INGEST, json=meter()).status_code == 202
    finally:
        getattr(postgres, again)()
    wait_until(lambda: http.get(METERS).status_code == 200, "200 again", patience_s=SOON_S)
    assert http.get("/health").json()["status"] == "healthy"


def test_a_restart_costs_at_most_the_requests_under_way(stack: Stack, process: ApiProcess) -> None:
    with ThreadPoolExecutor(8) as clients:
        list(clients.map(lambda _: process.http.get(METERS), range(40)))
    stack.service("postgres").stop()
    stack.service("postgres").start()
    for _ in range(20):  # every connection of the pool is a dead one at first
        assert process.http.get(METERS).status_code == 200


def test_it_serves_and_waits_before_anything_is_there() -> None:
    unused = Ports()
    nowhere = f"127.0.0.1:{unused.take()}"
    environment = {
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(unused.take()),
        "KAFKA_BOOTSTRAP_SERVERS": nowhere,
    }
    with ApiProcess(environment, ready=False) as process:
        assert process.http.get("/health/live").status_code == 200
        assert unavailable(process.http.get("/health/ready"))
        assert unavailable(process.http.get(METERS))
        assert unavailable(process.http.get("/v1/telemetry/stats"))
        assert unavailable(process.http.post(INGEST, json=meter()))
        assert process.http.get("/health").json()["status"] == "unhealthy"
        process.says("not ready: PostgreSQL at 127.0.0.1", "refused")
        process.says(f"not ready: Kafka at {nowhere}")
        lines = process.log.splitlines()
        assert len([line for line in lines if "not ready: " in line]) == 2
        assert process.interrupt() == 0
    unused.close()


def test_it_waits_for_the_schema_and_the_topics(environment: dict[str, str]) -> None:
    later = f"{environment['DB_DATABASE']}_later"
    with connect(environment) as connection:
        connection.execute(f"CREATE DATABASE {later}".encode())
    later_on = {"DB_DATABASE": later, "KAFKA_METER_TOPIC": "not-there"}
    environment = administrator(environment) | later_on
    with ApiProcess(environment, ready=False) as process:
        process.says("not ready: PostgreSQL", "python -m sql migrate")
        process.says("not ready: Kafka", "there is no topic not-there")
        assert unavailable(process.http.get(METERS))
        with connect(environment) as connection:
            migrate(connection)
        process.says("PostgreSQL", ": fine")
        assert process.http.get(METERS).json() == []
        assert unavailable(process.http.post(INGEST, json=meter()))


def test_requests_under_way_are_finished(environment: dict[str, str]) -> None:
    with ApiProcess(environment) as process, connect(environment) as connection:
        process.http.post(METERS, json={"meterId": "SLOW"})
        with connection.transaction():
            connection.execute("SELECT FROM meters WHERE meter_id = 'SLOW' FOR UPDATE")
            with ThreadPoolExecutor(1) as client:
                change = {"location": "here"}
                answer = client.submit(process.http.patch, f"{METERS}/SLOW", json=change)
                wait_until(lambda: waiting_for_locks(environment) == 1, "it waits")
                for _ in range(2):  # the second one ends the drain
                    process.process.send_signal(signal.SIGTERM)
                    process.says("stopping: not ready")
                wait_until(lambda: refused(process.http.base_url.port), "it takes no more")
                connection.execute("SELECT pg_sleep(1)")  # the lock is held a second longer
                connection.execute("UPDATE meters SET location = 'there' WHERE meter_id = 'SLOW'")
                connection.execute("COMMIT")
                assert answer.result().status_code == 200
        assert process.process.wait(SOON_S) == 0


def test_a_rolling_restart_turns_nobody_away(environment: dict[str, str]) -> None:
    """A load balancer asks once a second who is ready; each request is a new connection."""
    with ApiProcess(environment) as old, ApiProcess(environment) as new:
        ready = [old.http.base_url, new.http.base_url]
        asked_at = time.monotonic()
        old.process.send_signal(signal.SIGTERM)
        while old.process.poll() is None:
            if time.monotonic() - asked_at > 1:
                ready = [u for u in ready if httpx.get(u.join("/health/ready")).status_code == 200]
                asked_at = time.monotonic()
            for url in ready:
                assert httpx.get(url.join(METERS)).status_code == 200
        assert ready == [new.http.base_url]
        assert old.process.returncode == 0


def test_while_it_drains_it_serves_and_says_that_it_stops(environment: dict[str, str]) -> None:
    with ApiProcess(environment) as process:
        process.http.get("/health/live")  # leaves a connection open, which must not be cut
        process.process.send_signal(signal.SIGTERM)
        process.says("stopping: not ready")
        ready = process.http.get("/health/ready")
        assert (ready.status_code, ready.json()["message"]) == (503, "stopping")
        for path in (METERS, "/health/live", "/metrics"):
            answer = process.http.get(path)
            assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert process.http.post(INGEST, json=meter()).status_code == 202
        assert process.terminate() == 0


def test_ctrl_c_ends_it_at_once(environment: dict[str, str]) -> None:
    with ApiProcess(environment) as process:
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(SOON_S) == 0
        assert "stopping" not in process.log


@pytest.mark.parametrize(
    ("name", "value"), [("APP_PORT", "0"), ("DB_POOL_SIZE", "many"), ("KAFKA_SSL_CAFILE", "/no")]
)
def test_a_bad_variable_stops_it(name: str, value: str) -> None:
    environment = {name: value, "KAFKA_SECURITY_PROTOCOL": "SSL"}
    done = run_api(environment)
    assert done.returncode == 2
    assert name in done.stderr and "Traceback" not in done.stderr


def test_a_taken_port_stops_it(process: ApiProcess) -> None:
    port = str(process.http.base_url.port)
    done = run_api({"APP_PORT": port})
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: APP_PORT={port}: Address already in use"


def refused(port: int | None) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port or 0)) != 0


def run_api(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "api"],
        env=os.environ | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SOON_S,
        check=False,
    )
