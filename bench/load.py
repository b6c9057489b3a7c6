"""`python -m bench.load JSON`: sends readings at a steady rate, however fast they are stored.

The streams take turns and so do their devices. The time of a reading is the instant it is due.
Every few milliseconds, all readings that are due are sent, one a record.
"""

import asyncio
import json
import sys
import time
from typing import Any

from aiokafka import AIOKafkaProducer

from bench.producing import PARTITIONS, Writer
from bench.readings import BenchReadings, as_json
from brokers.connect import kafka_options
from brokers.partitions import partition_of
from schemas.settings import load_settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from schemas.streams.times import POSTGRES_EPOCH

TICK_S = 0.005


async def produce(wanted: dict[str, Any]) -> dict[str, float]:
    """Send `rate` readings a second for `seconds`; return their number and the largest delay."""
    producer = AIOKafkaProducer(**kafka_options(load_settings()), acks="all")
    await producer.start()
    try:
        sources = [
            _Source(producer, wanted["topics"][stream.name], stream, wanted["devices"])
            for stream in STREAMS.values()
        ]
        sent, worst_s = 0, 0.0
        began = time.time()
        total = int(wanted["rate"] * wanted["seconds"])
        while sent < total:
            due = min(total, int((time.time() - began) * wanted["rate"]))
            if sent < due:
                worst_s = max(worst_s, time.time() - began - sent / wanted["rate"])
            for number in range(sent, due):
                turn, place = divmod(number, len(sources))
                await sources[place].send(turn, began + number / wanted["rate"])
            sent = due
            for source in sources:
                await source.writer.flush()
            await asyncio.sleep(TICK_S)
        await producer.flush()
    finally:
        await producer.stop()
    return {"sent": sent, "worst_delay_s": worst_s, "cpu_s": time.process_time()}


class _Source:
    """The readings of one stream's devices, in turns."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, stream: Stream, devices: int
    ) -> None:
        self.writer = Writer(producer, topic)
        self._readings = BenchReadings(stream, devices=devices, start=POSTGRES_EPOCH)
        self._keys = [device_id.encode() for device_id in self._readings.ids]
        self._partitions = [partition_of(key, PARTITIONS) for key in self._keys]
        self._json = as_json(stream)
        self._turn, self._fields = 0, self._readings.minute(0)

    async def send(self, number: int, at: float) -> None:
        """Send the reading of that number with the time `at`, in Unix time."""
        turn, place = divmod(number, len(self._keys))
        if turn != self._turn:
            self._turn, self._fields = turn, self._readings.minute(turn)
        device = self._readings.order[place]
        fields = self._fields(device)
        text = self._json((fields[0], stamp(at), *fields[2:]))
        await self.writer.write(self._partitions[device], self._keys[device], text.encode())


def stamp(at: float) -> str:
    """Unix time in the form of a reading, with milliseconds."""
    whole = int(at)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int(at % 1 * 1000):03}Z"


if __name__ == "__main__":
    print(json.dumps(asyncio.run(produce(json.loads(sys.argv[1])))))
