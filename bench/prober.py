"""`python -m bench.prober JSON`: the time from sending a reading to the first query that sees it.

At random instants it sends a marker: a reading of the next of many marker devices, all streams in
turns. Every few milliseconds it asks for their live state until the marker is there. The pause
between two queries makes the measured times longer, by half of it on average.
"""

import asyncio
import json
import random
import sys
import time
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer

from bench.readings import Fields, as_json
from brokers.connect import kafka_options
from schemas.settings import load_settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from sql.connect import settle

ASK_EVERY_S = 0.005
MARKERS_A_SECOND = 20
MARKERS = 512
"""Marker devices of each stream: more than there are markers under way at once."""
PATIENCE_S = 30.0
QUERY = " UNION ALL ".join(
    f'SELECT {stream.id_column}, "timestamp" FROM {stream.live_table}'
    f" WHERE {stream.id_column} = ANY(%(ids)s)"
    for stream in STREAMS.values()
)


class Prober:
    """Sends markers and sees them arrive."""

    def __init__(self, topics: dict[str, str]) -> None:
        self._topics = topics
        self._json = {name: as_json(stream) for name, stream in STREAMS.items()}
        self.under_way: dict[str, float] = {}
        """The Unix time at which each marker was sent, by its device."""
        self.ages_s: list[float] = []
        self.sent = 0

    async def send(self, producer: AIOKafkaProducer, until: float) -> None:
        """Send markers at random intervals until that Unix time."""
        while time.time() < until:
            await asyncio.sleep(random.expovariate(MARKERS_A_SECOND))
            turn, place = divmod(self.sent, len(STREAMS))
            stream = list(STREAMS.values())[place]
            device_id = f"PR{stream.name[0].upper()}-{turn % MARKERS:05}"
            now = time.time()
            await producer.send(
                self._topics[stream.name],
                self._json[stream.name](_fields(stream, device_id, now)).encode(),
                key=device_id.encode(),
            )
            self.under_way[device_id] = now
            self.sent += 1

    async def ask(
        self, connection: psycopg.AsyncConnection[Any], sending: asyncio.Task[None]
    ) -> None:
        """Ask for the markers under way until all were seen. Raises TimeoutError."""
        patience = time.time() + PATIENCE_S
        while not sending.done() or self.under_way:
            if self.under_way:
                cursor = await connection.execute(QUERY.encode(), {"ids": list(self.under_way)})
                rows = await cursor.fetchall()
                self._see(rows, time.time())
            if not sending.done():
                patience = time.time() + PATIENCE_S
            elif time.time() > patience:
                raise TimeoutError(f"{len(self.under_way)} markers were never seen")
            await asyncio.sleep(ASK_EVERY_S)

    def _see(self, rows: list[Any], now: float) -> None:
        for device_id, timestamp in rows:
            sent_at = self.under_way[device_id]
            if timestamp.timestamp() >= sent_at - 1e-5:  # PostgreSQL keeps microseconds only
                self.ages_s.append(now - sent_at)
                del self.under_way[device_id]


async def probe(wanted: dict[str, Any]) -> dict[str, Any]:
    """Probe for `seconds`; return the ages in ms and the number of markers."""
    producer = AIOKafkaProducer(**kafka_options(load_settings()), acks="all")
    await producer.start()
    try:
        async with await psycopg.AsyncConnection.connect(
            wanted["conninfo"], autocommit=True, prepare_threshold=0
        ) as connection:
            await settle(connection)
            prober = Prober(wanted["topics"])
            sending = asyncio.create_task(prober.send(producer, time.time() + wanted["seconds"]))
            await prober.ask(connection, sending)
            await sending
    finally:
        await producer.stop()
    return {"sent": prober.sent, "ages_ms": [round(age * 1000, 2) for age in prober.ages_s]}


def _fields(stream: Stream, device_id: str, at: float) -> Fields:
    micros = int(at % 1 * 1e6)
    text = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{micros:06}Z"
    first, *others = (str(field.example) for field in stream.row_fields)
    return (first, text, *others, device_id)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(probe(json.loads(sys.argv[1])))))
