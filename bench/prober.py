"""`python -m bench.prober JSON`: how long a reading takes from its produce to a query that sees it.

At random instants it sends one marker reading, of the next of many marker devices, meters and
vehicles in turns, and asks for their live state every few milliseconds until it is there. What the
asking adds, half that pause in the mean, counts against us.
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
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.stream import Stream

ASK_EVERY_S = 0.005
MARKERS_A_SECOND = 20
MARKERS = 512
"""Marker devices a stream: more than are under way at once."""
PATIENCE_S = 30.0
QUERY = """
SELECT meter_id, "timestamp" FROM meter_live_state WHERE meter_id = ANY(%(ids)s)
UNION ALL
SELECT vehicle_id, "timestamp" FROM vehicle_live_state WHERE vehicle_id = ANY(%(ids)s)
"""


class Prober:
    """Markers under way: when each was sent, by its device."""

    def __init__(self, topics: dict[str, str]) -> None:
        self._topics = topics
        self._json = {name: as_json(stream) for name, stream in STREAMS.items()}
        self.under_way: dict[str, float] = {}
        self.ages_s: list[float] = []
        self.sent = 0

    async def send(self, producer: AIOKafkaProducer, until: float) -> None:
        """Send markers until then, at random intervals."""
        while time.time() < until:
            await asyncio.sleep(random.expovariate(MARKERS_A_SECOND))
            stream = (METER, VEHICLE)[self.sent % 2]
            device_id = f"PR{stream.name[0].upper()}-{self.sent // 2 % MARKERS:05}"
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
        """Ask for what is under way until all was seen."""
        patience = time.time() + PATIENCE_S
        while not sending.done() or self.under_way:
            if self.under_way:
                cursor = await connection.execute(QUERY, {"ids": list(self.under_way)})
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
            if timestamp.timestamp() >= sent_at - 1e-5:  # its fraction is cut to microseconds
                self.ages_s.append(now - sent_at)
                del self.under_way[device_id]


async def probe(wanted: dict[str, Any]) -> dict[str, Any]:
    """Probe for `seconds`; return the ages in ms and how many markers there were."""
    producer = AIOKafkaProducer(bootstrap_servers=wanted["servers"], acks="all")
    await producer.start()
    try:
        async with await psycopg.AsyncConnection.connect(
            wanted["conninfo"], autocommit=True, prepare_threshold=0
        ) as connection:
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
