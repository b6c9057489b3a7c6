"""Producing to a test's topics."""

import asyncio

from aiokafka import AIOKafkaProducer


def send(environment: dict[str, str], *values: bytes, partition: int = 0) -> None:
    """Write records to one partition of the meters' topic, in this order."""

    async def produce() -> None:
        servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
        topic = environment["KAFKA_METER_TOPIC"]
        async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
            sending = [await producer.send(topic, value, partition=partition) for value in values]
            await asyncio.gather(*sending)

    asyncio.run(produce())
