"""Readings over HTTP: what is in Kafka afterwards, and what the books say."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from starlette.requests import Request

from api.database import Database
from api.lag import LogReader
from api.metrics import Metrics
from api.producer import Producer
from api.routes.stats import StatsRoutes
from tests.connections import connect
from tests.kafka import options_of
from tests.readings import meter, now, vehicle
from tests.settings import settings_of

PARTITIONS = 6
JSON = {"Content-Type": "application/json"}


def kafka_records(environment: dict[str, str], topic_name: str) -> list[Any]:
    """Everything in a topic now, partition by partition."""

    async def read() -> list[Any]:
        topic = environment[topic_name]
        consumer = AIOKafkaConsumer(**options_of(environment), auto_offset_reset="earliest")
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[Any] = []
            while len(records) < sum(ends.values()):
                for found in (await consumer.getmany(timeout_ms=1000)).values():
                    records.extend(found)
            return sorted(records, key=lambda record: (record.partition, record.offset))
        finally:
            await consumer.stop()

    return asyncio.run(read())


def test_single_and_batch_meet_in_one_partition(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    raw = b'{ "voltage":230.0, "extra":"\xc3\xbc", "kwhConsumedAc":1, "meterId":"M-1","timestamp":"'
    raw += now().encode() + b'"}'
    body = b'{"streamType":"meter","payload":' + raw + b"}"
    assert api.post("/v1/telemetry/ingest", content=body, headers=JSON).status_code == 202
    sent = [meter(f"M-{n % 7}", kwhConsumedAc=n) for n in range(700)]
    answer = api.post("/v1/telemetry/ingest/batch", json={"records": sent})
    assert (answer.status_code, answer.json()["processed"]) == (202, 700)

    records = kafka_records(environment, "KAFKA_METER_TOPIC")
    single = next(record for record in records if record.key)
    assert (single.key, single.value) == (b"M-1", raw)
    arrays = [record for record in records if not record.key]
    assert len({record.partition for record in arrays}) == len(arrays)
    found: dict[str, list[float]] = {}
    for record in arrays:
        for reading in json.loads(record.value):
            device = reading["meterId"]
            key_partition = DefaultPartitioner()(device.encode(), range(PARTITIONS), [])
            assert record.partition == key_partition
            found.setdefault(device, []).append(reading["kwhConsumedAc"])
    assert found == {f"M-{d}": list(range(d, 700, 7)) for d in range(7)}
    assert next(r for r in arrays if b'"M-1"' in r.value).partition == single.partition


def test_a_batch_tells_good_from_bad(api: httpx.Client, environment: dict[str, str]) -> None:
    records: list[Any] = [
        vehicle("V-1"),
        vehicle("V-2", soc=101),
        {"streamType": "bus", "payload": {}},
        7,
        vehicle("V-3", timestamp="2999-01-01T00:00:00Z"),
        vehicle("V-4", timestamp="1999-01-01T00:00:00Z"),
        vehicle("V-5", timestamp="2026-01-01T00:00:00"),
        vehicle("V-6") | {"extra": 1},
        vehicle("V-7"),
    ]
    answer = api.post("/v1/telemetry/ingest/batch", json={"records": records})
    body = answer.json()
    assert answer.status_code == 202
    assert (body["success"], body["processed"], body["failed"]) == (False, 2, 7)
    assert [(error["index"], error["reason"]) for error in body["errors"]] == [
        (1, "invalid"),
        (2, "invalid"),
        (3, "invalid"),
        (4, "in_future"),
        (5, "too_old"),
        (6, "invalid"),
        (7, "invalid"),
    ]
    values = [json.loads(r.value) for r in kafka_records(environment, "KAFKA_VEHICLE_TOPIC")]
    assert sorted(reading["vehicleId"] for array in values for reading in array) == ["V-1", "V-7"]


def test_a_batch_larger_than_a_record_may_be_is_cut(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    before = len(kafka_records(environment, "KAFKA_METER_TOPIC"))
    sent = [meter("BIG", kwhConsumedAc=n, note="x" * 2000) for n in range(1500)]
    answer = api.post("/v1/telemetry/ingest/batch", json={"records": sent})
    assert (answer.status_code, answer.json()["processed"]) == (202, 1500)
    arrays = [
        json.loads(record.value)
        for record in kafka_records(environment, "KAFKA_METER_TOPIC")
        if b'"BIG"' in record.value
    ]
    assert 4 <= len(arrays) <= 6
    assert [r["kwhConsumedAc"] for array in arrays for r in array] == list(range(1500))
    after = len(kafka_records(environment, "KAFKA_METER_TOPIC"))
    assert after == before + len(arrays)


def test_readings_dated_months_ago_are_taken(api: httpx.Client) -> None:
    record = meter("OLD", timestamp="2026-01-31T14:00:00+02:00")
    assert api.post("/v1/telemetry/ingest", json=record).status_code == 202


def test_only_the_lag_is_unknown_when_kafka_went_away_unnoticed(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stats() -> Any:
        settings = settings_of(environment)
        database, producer = Database(settings), Producer(settings, Metrics())
        monkeypatch.setattr(Producer, "trouble", None)  # though it never connects
        await database.run()
        books = StatsRoutes(settings, database, LogReader(settings, producer.all_partitions))
        answer = await books.stats(Request({"type": "http"}))
        await database.close()
        return json.loads(bytes(answer.body))

    assert [topic["lag"] for topic in asyncio.run(stats())["topics"]] == [None, None]


def test_stats_show_the_groups_own_books(api: httpx.Client, environment: dict[str, str]) -> None:
    topic, group = environment["KAFKA_VEHICLE_TOPIC"], environment["KAFKA_GROUP_ID"]
    with connect(environment) as connection:
        for group_id in (group, f"{group}:replay"):
            connection.execute(
                "INSERT INTO ingest_offsets (group_id, topic, partition, next_offset, read, stored,"
                " duplicate, rejected) VALUES (%s, %s, 0, 0, 14, 4, 3, 7)",
                (group_id, topic),
            )
        for offset, reason, resolved in ((1, "invalid", None), (2, "conflict", None)):
            connection.execute(
                'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
                " reason, detail, raw, resolved_at) VALUES (%s, %s, 0, %s, 0, %s, '', '', %s)",
                (group, topic, offset, reason, resolved),
            )
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " reason, detail, raw, resolved_at) VALUES (%s, %s, 0, 3, 0, 'invalid', '', '', now())",
            (group, topic),
        )
        connection.execute(
            "INSERT INTO rejected_overflow (group_id, topic, partition, reason, readings,"
            " first_offset, last_offset) VALUES (%s, %s, 0, 'invalid', 5, 4, 9)",
            (group, topic),
        )
    stats = api.get("/v1/telemetry/stats").json()
    shown = next(entry for entry in stats["topics"] if entry["topic"] == topic)
    in_kafka = len(kafka_records(environment, "KAFKA_VEHICLE_TOPIC"))
    assert shown == {
        "topic": topic,
        "read": 14,
        "stored": 4,
        "duplicate": 3,
        "rejected": {"total": 7, "byReason": {"conflict": 1, "invalid": 6}},
        "lag": in_kafka,
    }
