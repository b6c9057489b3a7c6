"""What the API says of itself and of ingestion, held against the truth: metrics and readiness."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.connections import connect, waiting_for_locks
from tests.kafka import send
from tests.readings import meter_value
from tests.workers import PATIENCE_S, WorkerProcess, counted, wait_until

METERS = "/v1/devices/meters"
SCRAPE_LIMIT_S = 8.0
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(http: httpx.Client) -> Samples:
    """Every sample of /metrics by name and labels."""
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() < SCRAPE_LIMIT_S
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def lag(samples: Samples) -> float | None:
    """The lag of all partitions together; None when none is shown."""
    lags = [number for (name, _), number in samples.items() if name == "energy_api_lag_records"]
    return sum(lags) if lags else None


def answering(samples: Samples) -> dict[str, float | None]:
    name = "energy_api_answers"
    return {source: value(samples, name, source=source) for source in ("postgresql", "kafka")}


@pytest.fixture(scope="module")
def breakable(breakable_stack: Stack) -> dict[str, str]:
    return fresh_environment(breakable_stack.environment)


@pytest.fixture(scope="module")
def process(breakable: dict[str, str]) -> Iterator[ApiProcess]:
    with ApiProcess(breakable) as running:
        yield running


def test_lag_and_books_are_shown_without_any_worker(
    stack: Stack, process: ApiProcess, breakable: dict[str, str]
) -> None:
    topic = breakable["KAFKA_METER_TOPIC"]
    send(breakable, *(meter_value(f"M{n}") for n in range(5)))
    assert lag(scrape(process.http)) == 5  # nobody has ever read it
    with WorkerProcess(breakable) as worker:
        wait_until(lambda: counted(breakable)["stored"] == 5, "all are stored")
        assert worker.terminate() == 0
    send(breakable, *(meter_value(f"M{n}") for n in range(3)), b"junk")
    samples = scrape(process.http)
    assert lag(samples) == 4
    booked = {
        outcome: value(samples, "energy_api_readings", topic=topic, outcome=outcome)
        for outcome in ("stored", "duplicate", "rejected")
    }
    assert booked == {"stored": 5, "duplicate": 0, "rejected": 0}
    assert value(samples, "energy_api_unbalanced_readings", topic=topic) == 0
    ages = [age for (name, _), age in samples.items() if name == "energy_api_lag_seconds"]
    assert 0 < max(ages) < PATIENCE_S  # since the last reading that was stored
    assert answering(samples) == {"postgresql": 1, "kafka": 1}


def test_books_that_are_off_are_shown(process: ApiProcess, breakable: dict[str, str]) -> None:
    topic = breakable["KAFKA_METER_TOPIC"]
    change = "UPDATE ingest_offsets SET read = read + %s WHERE topic = %s AND partition = %s"
    with connect(breakable) as connection:
        for partition, readings in ((0, 3), (1, -3)):  # that cancel each other out in the sum
            connection.execute(change, (readings, topic, partition))
        connection.commit()
        shown = value(scrape(process.http), "energy_api_unbalanced_readings", topic=topic)
        for partition, readings in ((0, -3), (1, 3)):
            connection.execute(change, (readings, topic, partition))
        connection.commit()
    assert shown == 6


@pytest.mark.parametrize(("end", "again"), [("kill", "start"), ("freeze", "thaw")])
def test_what_cannot_be_had_is_not_shown(
    stack: Stack, process: ApiProcess, breakable: dict[str, str], end: str, again: str
) -> None:
    http, topic = process.http, breakable["KAFKA_METER_TOPIC"]
    wait_until(lambda: answering(scrape(http)) == {"postgresql": 1, "kafka": 1}, "both answer")
    before = lag(scrape(http))
    assert before is not None
    labels = {"topic": topic, "outcome": "stored"}
    try:
        getattr(stack.service("postgres"), end)()
        send(breakable, meter_value("LATER"))
        samples = scrape(http)
        assert answering(samples) == {"postgresql": 0, "kafka": 1}
        assert lag(samples) == before + 1  # Kafka goes on, and nobody can move a position
        assert value(samples, "energy_api_readings", **labels) is None
        getattr(stack.service("postgres"), again)()
        wait_until(lambda: lag(scrape(http)) == before + 1, "the same afterwards")
        getattr(stack.service("kafka"), end)()
        samples = scrape(http)
        assert answering(samples)["kafka"] == 0
        assert lag(samples) is None
        wait_until(
            lambda: value(scrape(http), "energy_api_readings", **labels) is not None, "the books"
        )
    finally:
        for name in ("postgres", "kafka"):
            service = stack.service(name)
            if service.frozen:
                service.thaw()
            if not service.running:
                service.start()
    wait_until(lambda: lag(scrape(http)) == before + 1, "lag again")


def test_counters_begin_before_what_they_count(
    process: ApiProcess, breakable: dict[str, str]
) -> None:
    samples = scrape(process.http)
    for reason in ("malformed", "invalid", "too_old", "in_future"):
        assert value(samples, "energy_api_refused_readings_total", reason=reason) == 0
    for task in ("database", "kafka"):
        assert value(samples, "energy_api_task_restarts_total", task=task) == 0
    for topic in (breakable["KAFKA_METER_TOPIC"], breakable["KAFKA_VEHICLE_TOPIC"]):
        for outcome in ("delivered", "failed"):
            labels = {"topic": topic, "outcome": outcome}
            assert value(samples, "energy_api_produced_readings_total", **labels) == 0
    names = {name for name, _ in samples}
    assert {"process_resident_memory_bytes", "python_info", "energy_api_build_info"} <= names


def test_a_busy_api_is_ready(environment: dict[str, str]) -> None:
    """Its only connection waits for a lock: requests are turned away, readiness is not."""
    small = {**environment, "DB_POOL_SIZE": "1"}
    with ApiProcess(small) as process, connect(environment) as connection:
        http = process.http
        http.post(METERS, json={"meterId": "HELD"})
        with ThreadPoolExecutor(2) as clients, connection.transaction():
            connection.execute("SELECT FROM meters WHERE meter_id = 'HELD' FOR UPDATE")
            clients.submit(http.patch, f"{METERS}/HELD", json={"location": "here"})
            wait_until(lambda: waiting_for_locks(environment) == 1, "the connection is taken")
            queued = clients.submit(http.get, METERS)
            for path in ("/health/ready", "/health", "/metrics"):
                assert http.get(path).status_code == 200
            answer = queued.result()
        assert answer.status_code == 503
        assert "in use" in answer.json()["message"]
        assert "not ready: PostgreSQL" not in process.log
