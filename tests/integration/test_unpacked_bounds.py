"""A worker's memory does not depend on what the records it reads unpack to.

Real Kafka, a real worker, batches that unpack to hundreds of times what was sent, between good
readings: these are stored, and each record that is too large is one rejection.
"""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from brokers.connect import connected_admin
from tests.batches import ReadyBatch, hostile_batch
from tests.connections import connect
from tests.kafka import options_of
from tests.readings import meter_value
from tests.settings import settings_of
from tests.workers import ROOT, WorkerProcess, books, counted, wait_until

MIB = 1024 * 1024
BOUND_BYTES = 500_000_000
FLOOD = 700
LARGEST_BATCH_BYTES = 10 * MIB
PEAK = re.compile(r"VmHWM:\s+(\d+) kB")
HOSTILE = {
    "zstd, 600 MB": ("zstd", 600_000_000),
    "zstd, 200 MB": ("zstd", 200_000_000),
    "gzip": ("gzip", 100_000_000),
    "lz4": ("lz4", 100_000_000),
    "snappy": ("snappy", 100_000_000),
    "just too large": ("gzip", 16 * MIB + 1),
}


MEASURED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""
"""Runs a command from a small process: a child's peak is never less than its parent's size was."""


def reading(number: int) -> bytes:
    return meter_value("GOOD", datetime(2026, 11, 20, 12, number // 60, number % 60, tzinfo=UTC))


def peak_bytes(worker: WorkerProcess) -> int:
    """The most memory it has ever had resident."""
    found = PEAK.search(Path(f"/proc/{worker.process.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


async def send(environment: dict[str, str], batches: Sequence[bytes]) -> None:
    """Produce batches as they are to the first partition of the meters' topic."""
    producer = AIOKafkaProducer(
        **options_of(environment),
        max_request_size=2 * LARGEST_BATCH_BYTES,
    )
    async with producer:
        for raw in batches:
            sent = await producer.send_batch(
                ReadyBatch(raw), environment["KAFKA_METER_TOPIC"], partition=0
            )
            await sent


@pytest.fixture
def roomy(own_environment: dict[str, str]) -> dict[str, str]:
    """Services whose topic of meters takes large batches."""

    async def create() -> None:
        configs = {
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(LARGEST_BATCH_BYTES),
        }
        async with connected_admin(settings_of(own_environment)) as admin:
            await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=configs)])

    topic = own_environment["KAFKA_METER_TOPIC"] + "-roomy"
    asyncio.run(create())
    return {**own_environment, "KAFKA_METER_TOPIC": topic}


def test_records_that_unpack_to_hundreds_of_megabytes(roomy: dict[str, str]) -> None:
    batches = []
    for number, (codec, size) in enumerate(HOSTILE.values()):
        batches.append(hostile_batch(codec, reading(2 * number), size, reading(2 * number + 1)))
    asyncio.run(send(roomy, batches))
    with WorkerProcess(roomy) as worker:
        wait_until(lambda: counted(roomy)["read"] == 3 * len(HOSTILE), "all were read")
        assert peak_bytes(worker) < BOUND_BYTES
        assert worker.terminate() == 0, worker.log
    with connect(roomy) as connection:
        rejected = connection.execute(
            'SELECT "offset", reason, length(raw) FROM rejected_records ORDER BY 1'
        ).fetchall()
    assert rejected == [(3 * number + 1, "malformed", MIB) for number in range(len(HOSTILE))]
    assert books(roomy)["total"]["stored"] == 2 * len(HOSTILE)
    assert replayed_with(roomy) < BOUND_BYTES


def test_a_flood_of_large_records(roomy: dict[str, str]) -> None:
    """Each is fine by itself; together they are more than memory should hold."""
    filler = b',"x":"' + b" " * MIB + b'"}'
    batches = [hostile_batch("zstd", reading(number)[:-1] + filler) for number in range(FLOOD)]
    asyncio.run(send(roomy, batches))
    with WorkerProcess(roomy) as worker:
        wait_until(lambda: counted(roomy)["read"] == FLOOD, "all were read")
        assert peak_bytes(worker) < BOUND_BYTES
    assert books(roomy)["total"]["stored"] == FLOOD
    assert replayed_with(roomy) < BOUND_BYTES
    assert books(roomy)["total"] == {
        "read": 2 * FLOOD,
        "stored": FLOOD,
        "duplicate": FLOOD,
        "rejected": 0,
    }


def replayed_with(environment: dict[str, str]) -> int:
    """Replay the topic of meters; returns the most memory that it took, in bytes."""
    words = ["ingest_worker", "replay", "--topic", environment["KAFKA_METER_TOPIC"]]
    replayed = subprocess.run(
        [sys.executable, "-c", MEASURED, sys.executable, "-m", *words, "--from", "2026-01-01"],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert replayed.returncode == 0, replayed.stderr
    return int(replayed.stdout.split()[-1]) * 1024
