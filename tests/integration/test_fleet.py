"""A fleet as a process: what Kafka holds afterwards is what it says it sent."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.times import clock_limits
from tests.kafka import options_of

WAIT_S = 60


def start_fleet(environment: dict[str, str], *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "devstack", "fleet", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def truth_of(fleet: "subprocess.Popen[str]") -> dict[str, Any]:
    output, errors = fleet.communicate(timeout=WAIT_S)
    assert fleet.returncode == 0, errors
    truth: dict[str, Any] = json.loads(output)
    return truth


async def readings_in(environment: dict[str, str], topic: str) -> dict[str, int]:
    """Readings as decoded, by partition."""
    stream = METER if topic == environment["KAFKA_METER_TOPIC"] else VEHICLE
    limits = clock_limits(
        datetime.now(UTC), max_age_days=730, retention_days=0, max_skew_seconds=300
    )
    counts: Counter[str] = Counter()
    async with AIOKafkaConsumer(**options_of(environment)) as consumer:
        consumer.assign([TopicPartition(topic, n) for n in range(6)])
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(consumer.assignment())
        left = {partition for partition, end in ends.items() if end}
        while left:
            record = await consumer.getone()
            rows, _, rejected = Decoder(stream).decode(record.value, limits)
            counts[str(record.partition)] += len(rows) + len(rejected)
            source = TopicPartition(topic, record.partition)
            if record.offset + 1 == ends[source]:
                left.remove(source)
    return dict(counts)


def test_kafka_holds_what_the_fleet_says(own_environment: dict[str, str]) -> None:
    fleet = start_fleet(
        own_environment,
        *("--meters", "12", "--vehicles", "12", "--faults", "all", "--arrays", "10", "--mixed"),
        *("--speed", "0", "--backfill-h", "2", "--seconds", "0"),
    )
    truth = truth_of(fleet)
    assert truth["streams"]["meter"]["stored"] == 12 * 120
    for stream, topic in (("meter", "KAFKA_METER_TOPIC"), ("vehicle", "KAFKA_VEHICLE_TOPIC")):
        found = asyncio.run(readings_in(own_environment, own_environment[topic]))
        assert found == truth["streams"][stream]["readByPartition"]


def test_sessions_reach_the_api(api: httpx.Client, environment: dict[str, str]) -> None:
    fleet = start_fleet(
        environment,
        *("--meters", "6", "--vehicles", "6", "--speed", "0", "--backfill-h", "12"),
        *("--live-interval-s", "0.2", "--seconds", "10", "--api", str(api.base_url)),
    )
    truth = truth_of(fleet)
    for plural in ("meters", "vehicles"):
        paces = [device["reportSeconds"] for device in api.get(f"/v1/devices/{plural}").json()]
        assert paces == [60] * 6
    sessions = api.get("/v1/sessions").json()
    assert len(sessions) == truth["sessions"] > 6
    assert {session["vehicleId"] for session in sessions} == {f"VH-{n:03}" for n in range(1, 7)}
    ended = [session for session in sessions if session["endedAt"]]
    assert 0 < len(ended) <= len(sessions)
    assert all(one["transactionId"].startswith(f"{one['meterId']}@") for one in sessions)


def test_a_signal_ends_it_with_the_truth(own_environment: dict[str, str]) -> None:
    fleet = start_fleet(own_environment, "--interval-s", "0.1", "--progress", "json")
    assert fleet.stdout is not None
    assert json.loads(fleet.stdout.readline())["sent"] > 0
    fleet.send_signal(signal.SIGTERM)
    output, errors = fleet.communicate(timeout=WAIT_S)
    assert fleet.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["streams"]["meter"]["stored"] > 0


def test_what_it_cannot_do_is_one_line() -> None:
    fleet = start_fleet({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "--seconds", "1")
    _, errors = fleet.communicate(timeout=WAIT_S)
    assert fleet.returncode == 1
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("devstack: error: Kafka at 127.0.0.1:1")
