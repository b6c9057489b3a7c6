"""An independent producer of readings whose outcome it decides."""

import asyncio

from aiokafka import AIOKafkaProducer

from tests.kafka import options_of
from tests.truth import Expected, Generator, make_records


async def produce(environment: dict[str, str], readings: int, seed: int) -> dict[str, Expected]:
    """Send that many readings to each topic, half as single records, half in arrays."""
    producer = AIOKafkaProducer(**options_of(environment), linger_ms=20)
    expected = {}
    async with producer:
        for stream in ("meter", "vehicle"):
            topic = environment[f"KAFKA_{stream.upper()}_TOPIC"]
            expected[stream] = Expected()
            half = readings // 2
            records = list(make_records(Generator(stream, seed), half, half))
            sending = [
                await producer.send(topic, value, partition=partition)
                for partition, value, _ in records
            ]
            acknowledged = await asyncio.gather(*sending)
            for (partition, value, sent), ack in zip(records, acknowledged, strict=True):
                expected[stream].expect(partition, ack.offset, value, sent)
    return expected
