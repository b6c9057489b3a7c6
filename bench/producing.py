"""`python -m bench.producing JSON`: sends the backlog of one stream from a process of its own.

There are two forms: `single` is one reading a record with the device's id as key, `arrays` hold
fifty readings, as gateways send them. A reading may be followed by a repeat of an earlier one of
its device.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.readings import BenchReadings, Fields, as_json
from brokers.connect import kafka_options
from brokers.partitions import partition_of
from schemas.settings import load_settings
from schemas.streams import STREAMS

FORMS = ("single", "arrays")
ARRAY = 50
PARTITIONS = 6
REPEAT_EVERY = 9
"""With repeats, every ninth reading is followed by one, so that one reading in ten is a repeat."""
LONGEST_REPEAT_DELAY_MIN = 3

Record = tuple[int, bytes | None, str]
"""Partition, key and value."""


async def produce(wanted: dict[str, Any]) -> dict[str, int]:
    """Send all readings of one stream; return how many there were, also without the repeats."""
    readings = BenchReadings(
        STREAMS[wanted["stream"]],
        devices=wanted["devices"],
        start=datetime.fromisoformat(wanted["start"]),
        clock=wanted["clock"],
    )
    source = _Singles(readings) if wanted["form"] == "single" else _Arrays(readings)
    sent = value_bytes = 0
    producer = AIOKafkaProducer(**kafka_options(load_settings()), acks=1)
    await producer.start()
    try:
        writer = Writer(producer, wanted["topic"])
        for minute in range(wanted["minutes"]):
            fields = list(_minute(readings, minute, repeats=wanted["repeats"]))
            sent += len(fields)
            for partition, key, value in source.minute(fields):
                value_bytes += len(value)
                await writer.write(partition, key, value.encode())
        for partition, key, value in source.rest():
            value_bytes += len(value)
            await writer.write(partition, key, value.encode())
        await writer.flush()
        await producer.flush()
    finally:
        await producer.stop()
    distinct = wanted["minutes"] * len(readings.ids)
    return {"readings": sent, "distinct": distinct, "value_bytes": value_bytes}


def _minute(readings: BenchReadings, minute: int, *, repeats: bool) -> Iterator[tuple[int, Fields]]:
    """The readings of a minute with their devices, in order of arrival."""
    now = readings.minute(minute)
    earlier = [readings.minute(minute - 1 - delay) for delay in range(LONGEST_REPEAT_DELAY_MIN)]
    for device in readings.order:
        yield device, now(device)
        delay = device % LONGEST_REPEAT_DELAY_MIN
        if repeats and (device + minute) % REPEAT_EVERY == 0 and minute > delay:
            yield device, earlier[delay](device)


class _Singles:
    """One reading a record, in the partition that Kafka itself chooses for the device's id."""

    def __init__(self, readings: BenchReadings) -> None:
        self._keys = [device_id.encode() for device_id in readings.ids]
        self._partitions = [partition_of(key, PARTITIONS) for key in self._keys]
        self._json = as_json(readings.stream)

    def minute(self, fields: list[tuple[int, Fields]]) -> Iterator[Record]:
        """The records of a minute's readings."""
        for device, one in fields:
            yield self._partitions[device], self._keys[device], self._json(one)

    def rest(self) -> Iterator[Record]:
        """No records: none is held back."""
        return iter(())


class _Arrays:
    """A gateway for every fifty devices; it sends arrays of fifty readings to one partition."""

    def __init__(self, readings: BenchReadings) -> None:
        gateways = -(-len(readings.ids) // ARRAY)
        self._waiting: list[list[str]] = [[] for _ in range(gateways)]
        self._json = as_json(readings.stream)

    def minute(self, fields: list[tuple[int, Fields]]) -> Iterator[Record]:
        """The arrays that these readings complete."""
        for device, one in fields:
            gateway = device // ARRAY
            waiting = self._waiting[gateway]
            waiting.append(self._json(one))
            if len(waiting) == ARRAY:
                yield self._send(gateway)

    def rest(self) -> Iterator[Record]:
        """The arrays that are not full."""
        for gateway, waiting in enumerate(self._waiting):
            if waiting:
                yield self._send(gateway)

    def _send(self, gateway: int) -> Record:
        text = "[" + ",".join(self._waiting[gateway]) + "]"
        self._waiting[gateway].clear()
        return gateway % PARTITIONS, None, text


class Writer:
    """Fills the batches of a producer, 16 KiB by default, and sends each one when it is full."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._batches: list[BatchBuilder] = [producer.create_batch() for _ in range(PARTITIONS)]

    async def write(self, partition: int, key: bytes | None, value: bytes) -> None:
        """Add one record."""
        if self._batches[partition].append(timestamp=None, key=key, value=value) is None:
            await self._send(partition)
            self._batches[partition].append(timestamp=None, key=key, value=value)

    async def flush(self) -> None:
        """Send the batches that are not full."""
        for partition in range(PARTITIONS):
            await self._send(partition)

    async def _send(self, partition: int) -> None:
        batch = self._batches[partition]
        self._batches[partition] = self._producer.create_batch()
        if batch.record_count():
            batch.close()
            await self._producer.send_batch(batch, self._topic, partition=partition)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(produce(json.loads(sys.argv[1])))))
