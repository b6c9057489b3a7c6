"""Rejected readings get another chance: stored once, and the books move with them."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from tests.chaos.admin import delete_records
from tests.connections import connect
from tests.kafka import options_of, send
from tests.readings import array_value, meter_value
from tests.workers import WorkerProcess, books, command, counted, wait_until


def rejected(environment: dict[str, str], *words: str) -> Any:
    return command(environment, "ingest_worker", "rejected", *words)


@pytest.fixture
def quarantined(own_environment: dict[str, str]) -> dict[str, str]:
    """Four rejections: one too old, one conflict, one of no JSON, one refused by a constraint."""
    environment = own_environment
    now = datetime.now(UTC)
    with connect(environment) as connection:
        connection.execute(
            "ALTER TABLE meter_live_state ADD CONSTRAINT operators CHECK (meter_id <> 'Z')"
        )
    send(
        environment,
        meter_value("A", now - timedelta(days=20)),
        meter_value("B", now, 1),
        meter_value("B", now, 2),
        b"junk",
        array_value(meter_value("Z", now), meter_value("C", now)),
    )
    with WorkerProcess({**environment, "MAX_READING_AGE_DAYS": "10"}) as worker:
        wait_until(lambda: counted(environment)["read"] == 6, "all were read")
        assert worker.terminate() == 0
    assert outcomes(environment) == {"stored": 2, "duplicate": 0, "rejected": 4}
    return environment


def outcomes(environment: dict[str, str]) -> dict[str, int]:
    total = books(environment)["total"]
    return {name: total[name] for name in ("stored", "duplicate", "rejected")}


def ids(environment: dict[str, str]) -> dict[str, str]:
    with connect(environment) as connection:
        rows = connection.execute("SELECT reason, id FROM rejected_records")
        return {reason: str(rejected_id) for reason, rejected_id in rows}


def test_one_that_is_valid_by_now_is_stored_once(quarantined: dict[str, str]) -> None:
    one = ids(quarantined)["too_old"]
    dry = rejected(quarantined, "replay", one, "--dry-run")
    what, summary = dry.stdout.splitlines()
    assert what.startswith(f'{one}: stored: {{"meterId": "A", "kwhConsumedAc": 1.0')
    assert (dry.returncode, summary) == (0, "would be stored: 1")
    assert outcomes(quarantined)["stored"] == 2
    for _ in range(2):
        done = rejected(quarantined, "replay", one)
        assert (done.returncode, done.stdout) == (0, "stored: 1\n")
        assert outcomes(quarantined) == {"stored": 3, "duplicate": 0, "rejected": 3}
    shown = rejected(quarantined, "show", one).stdout
    assert "outcome:" in shown
    assert "resolved_by:" in shown
    assert "(stored by " in rejected(quarantined, "list", "--resolved").stdout


def test_one_that_is_still_not_valid_stays(quarantined: dict[str, str]) -> None:
    for reason, detail in (("conflict", "another reading"), ("malformed", "malformed")):
        done = rejected(quarantined, "replay", ids(quarantined)[reason])
        assert done.returncode == 1
        assert detail in done.stdout
        assert f"still rejected: {reason}: 1" in done.stdout
    refused = rejected(quarantined, "replay", "--reason", "refused")
    assert "still rejected: refused: 1" in refused.stdout
    assert outcomes(quarantined) == {"stored": 2, "duplicate": 0, "rejected": 4}


def test_a_filter_replays_what_matches(quarantined: dict[str, str]) -> None:
    with connect(quarantined) as connection:
        connection.execute("ALTER TABLE meter_live_state DROP CONSTRAINT operators")
    done = rejected(quarantined, "replay", "--device-id", "Z")
    assert (done.returncode, done.stdout) == (0, "stored: 1\n")
    done = rejected(quarantined, "replay", "--all")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "still rejected: conflict: 1",
        "still rejected: malformed: 1",
        "stored: 1",
    ]
    assert outcomes(quarantined) == {"stored": 4, "duplicate": 0, "rejected": 2}


def test_one_that_was_stored_meanwhile_is_a_duplicate(quarantined: dict[str, str]) -> None:
    with connect(quarantined) as connection:
        raw = connection.execute("SELECT raw FROM rejected_records WHERE reason = 'too_old'")
        (value,) = raw.fetchone() or (b"",)
    send(quarantined, value)
    with WorkerProcess(quarantined) as worker:
        wait_until(lambda: counted(quarantined)["stored"] == 3, "it was stored")
        worker.terminate()
    done = rejected(quarantined, "replay", "--reason", "too_old")
    assert (done.returncode, done.stdout) == (0, "duplicate: 1\n")
    assert outcomes(quarantined) == {"stored": 3, "duplicate": 1, "rejected": 3}


def test_one_whose_bytes_were_cut_is_refused(own_environment: dict[str, str]) -> None:
    environment = {**own_environment, "REJECTED_RAW_BYTES": "50"}
    old = meter_value("A", datetime.now(UTC) - timedelta(days=800))
    send(environment, old)
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 1, "it was read")
        assert worker.terminate() == 0
    one = ids(environment)["too_old"]
    shown = rejected(environment, "show", one).stdout
    assert f"raw:          the first 50 of {len(old)} bytes\n" in shown
    assert shown.splitlines()[-1] == old[:50].decode()
    done = rejected(environment, "replay", one)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "its bytes were cut; use replay from Kafka",
        "still rejected: cut: 1",
    ]
    assert outcomes(environment) == {"stored": 0, "duplicate": 0, "rejected": 1}


def test_what_was_only_counted_is_listed_and_in_the_books(own_environment: dict[str, str]) -> None:
    environment = own_environment
    send(environment, b"junk")
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms, reason,'
            " detail, raw, resolved_at, outcome) SELECT 'other', 'other', 0, n, 0, 'invalid',"
            " repeat('x', 1000), '', now(), 'stored' FROM generate_series(1, 2000) AS n"
        )
    with WorkerProcess({**environment, "REJECTED_RAW_LIMIT_MB": "1"}) as worker:
        wait_until(lambda: counted(environment)["read"] == 1, "it was read")
        assert worker.terminate() == 0
    assert outcomes(environment) == {"stored": 0, "duplicate": 0, "rejected": 1}
    listed = rejected(environment, "list")
    assert "only counted" in listed.stderr
    assert f"{environment['KAFKA_METER_TOPIC']}-0: 1 malformed, offsets 0 to 0" in listed.stderr


def test_what_is_not_there_or_not_named_is_refused(quarantined: dict[str, str]) -> None:
    assert "no rejected reading 999" in rejected(quarantined, "replay", "999").stderr
    assert "no rejected reading 0" in rejected(quarantined, "replay", "0").stderr
    assert rejected(quarantined, "replay").returncode == 2
    assert rejected(quarantined, "replay", "1", "--reason", "conflict").returncode == 2


def test_replay_fills_what_history_lacks(own_environment: dict[str, str]) -> None:
    environment = own_environment
    topic = environment["KAFKA_METER_TOPIC"]
    began = datetime.now(UTC) - timedelta(minutes=1)
    now = datetime.now(UTC)
    values = [meter_value(f"M{n}", now - timedelta(seconds=n)) for n in range(50)]
    send(environment, *values, b"junk")
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 51, "all were read")
        worker.terminate()
    with connect(environment) as connection:
        connection.execute("DELETE FROM meter_telemetry_history WHERE meter_id LIKE 'M1%'")
        connection.execute("UPDATE meter_telemetry_history SET voltage = 1 WHERE meter_id = 'M2'")
        words = ("ingest_worker", "replay", "--topic", topic, "--from", began.isoformat())
        done = command(environment, *words)
        assert done.returncode == 0, done.stderr
        assert "51 of 51" in done.stderr
        assert _count(connection, "meter_telemetry_history") == 50
        changed = "SELECT voltage FROM meter_telemetry_history WHERE meter_id = 'M2'"
        assert connection.execute(changed).fetchone() == (1.0,)
        rows = connection.execute(
            "SELECT stored, duplicate, rejected FROM ingest_offsets WHERE group_id LIKE '%:replay'"
        ).fetchall()
        assert rows == [(11, 39, 1)]
        later = command(environment, *words[:-1], datetime.now(UTC).isoformat())
        assert later.returncode == 0
        assert "0 offsets" in later.stderr
    assert "--topic must be one of" in command(environment, *words[:3], "x", *words[4:]).stderr


def test_replay_of_a_time_that_kafka_deleted_is_refused(own_environment: dict[str, str]) -> None:
    environment = own_environment
    topic = environment["KAFKA_METER_TOPIC"]
    now = datetime.now(UTC)
    send(environment, *(meter_value(f"M{n}", now) for n in range(4)))
    sent_ms = time.time_ns() // 1_000_000
    wait_until(lambda: time.time_ns() // 1_000_000 > sent_ms, "Kafka's clock, in ms, has moved on")
    send(environment, meter_value("M4", now))
    delete_records(environment, topic, {0: 3})
    words = ("ingest_worker", "replay", "--topic", topic, "--from")
    refused = command(environment, *words, "2026-01-01")
    assert refused.returncode == 1
    assert f"Kafka may have deleted some of that time from {topic}-0; it holds" in refused.stderr
    held_since = refused.stderr.split(" from ")[-1].split()[0]
    done = command(environment, *words, held_since)
    assert done.returncode == 0, done.stderr
    assert outcomes(environment)["stored"] == 1, refused.stderr + done.stderr


def test_replay_ends_behind_a_transaction(own_environment: dict[str, str]) -> None:
    environment = own_environment
    topic = environment["KAFKA_METER_TOPIC"]
    now = datetime.now(UTC)

    async def produce() -> None:
        options = options_of(environment)
        async with AIOKafkaProducer(**options, transactional_id=topic) as producer:
            for number in range(6):
                await producer.begin_transaction()
                await producer.send(topic, meter_value(f"M{number}", now), partition=0)
                if number % 3 == 1:
                    await producer.abort_transaction()
                else:
                    await producer.commit_transaction()

    asyncio.run(produce())
    words = ("ingest_worker", "replay", "--topic", topic, "--from", "2026-01-01")
    done = command({**environment, "BATCH_SIZE": "1"}, *words)
    assert done.returncode == 0, done.stderr
    assert outcomes(environment) == {"stored": 4, "duplicate": 0, "rejected": 0}


def _count(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row
    return int(row[0])
