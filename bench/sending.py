"""gateway: what a producer's settings cost, with the clients that gateways use most.

Each case sends the same readings from this process, acknowledged by all replicas, and notes how
many a second went, the processor time, and what they take in the broker's log.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer

from bench.backlog import last_day
from bench.figures import Figures, medians, say_run
from bench.lab import Lab
from bench.options import Options
from bench.producing import ARRAY
from bench.readings import BenchReadings, Fields, as_json
from brokers.connect import kafka_options
from schemas.streams import METER

READINGS, QUICK_READINGS = 200_000, 20_000
DEVICES = 10_000
LINGER_MS = 50


class Case(NamedTuple):
    """A client with its settings."""

    client: str
    array: int
    compression: str
    linger_ms: int

    @property
    def name(self) -> str:
        """As the table has it."""
        form = "single" if self.array == 1 else f"arrays of {self.array}"
        return f"{self.client}, {form}, {self.compression}, linger {self.linger_ms} ms"


CASES = [
    Case(client, array, compression, linger_ms)
    for client in ("aiokafka", "confluent-kafka")
    for array, compression, linger_ms in (
        (1, "none", 0),
        (1, "none", LINGER_MS),
        (1, "lz4", LINGER_MS),
        (ARRAY, "none", LINGER_MS),
        (ARRAY, "lz4", LINGER_MS),
        (ARRAY, "zstd", LINGER_MS),
    )
]


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs of each case, and the medians over them."""
    count = QUICK_READINGS if options.quick else READINGS
    runs: list[dict[str, Figures]] = []
    for number in range(options.runs):
        found = {}
        for case in CASES:
            found[case.name] = _send(lab, case, count)
            say_run(number, case.name, found[case.name])
        runs.append(found)
    return {"readings": count, "runs": runs, "median": medians(runs)}


def _send(lab: Lab, case: Case, count: int) -> Figures:
    topics = lab.topics()
    values = list(_records(case.array, count))
    before, began = time.process_time(), time.monotonic()
    send = _by_aiokafka if case.client == "aiokafka" else _by_confluent
    send(lab, case, topics[METER.name], values)
    seconds, cpu_s = time.monotonic() - began, time.process_time() - before
    size = _log_bytes(lab, topics[METER.name])
    lab.drop_topics(topics)
    return {
        "readings_s": count / seconds,
        "client_cpu_us": cpu_s / count * 1e6,
        "log_bytes_a_reading": size / count,
    }


def _records(array: int, count: int) -> Iterator[tuple[bytes | None, bytes]]:
    """Key and value of each record."""
    readings = BenchReadings(METER, devices=DEVICES, start=last_day())
    texts: list[Fields] = []
    minute = 0
    while len(texts) < count:
        fields = readings.minute(minute)
        texts += [fields(device) for device in readings.order]
        minute += 1
    shown = as_json(METER)
    for start in range(0, count, array):
        some = [shown(fields) for fields in texts[start : start + array]]
        if array == 1:
            yield texts[start][-1].encode(), some[0].encode()
        else:
            yield None, f"[{','.join(some)}]".encode()


def _by_aiokafka(
    lab: Lab, case: Case, topic: str, records: list[tuple[bytes | None, bytes]]
) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(
            **kafka_options(lab.settings),
            acks="all",
            enable_idempotence=True,
            linger_ms=case.linger_ms,
            compression_type=None if case.compression == "none" else case.compression,
            max_batch_size=256 * 1024,
        )
        async with producer:
            for key, value in records:
                await producer.send(topic, value, key)
            await producer.flush()

    asyncio.run(send())


def _by_confluent(
    lab: Lab, case: Case, topic: str, records: list[tuple[bytes | None, bytes]]
) -> None:
    producer = Producer(
        {
            "bootstrap.servers": lab.settings.kafka_bootstrap_servers,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": case.linger_ms,
            "compression.type": case.compression,
            "batch.size": 256 * 1024,
            "queue.buffering.max.messages": len(records) + 1,
        }
    )
    for key, value in records:
        producer.produce(topic, value, key)
        producer.poll(0)
    left = producer.flush()
    assert left == 0, f"{left} records were not delivered"


def _log_bytes(lab: Lab, topic: str) -> int:
    """What the topic takes in the broker's log."""
    directory = Path(lab.stack.service("kafka").directory)
    return sum(
        file.stat().st_size
        for partition in directory.glob(f"{topic}-*")
        for file in partition.glob("*.log")
    )
