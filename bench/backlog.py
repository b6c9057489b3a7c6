"""Readings put into Kafka before anything is measured: a backlog, produced once and read often."""

import asyncio
import json
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.lab import Lab, say
from bench.producing import PARTITIONS
from bench.readings import BenchFleet


@dataclass
class Backlog:
    """What lies in Kafka."""

    topics: dict[str, str]
    """By the stream's name."""
    readings: int = 0
    distinct: int = 0
    """How many of them are no repeats."""
    value_bytes: int = 0
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    """The logs' ends."""


def produce(lab: Lab, fleet: BenchFleet, form: str, *, repeats: bool = False) -> Backlog:
    """All readings of the fleet in new topics, each stream sent by a process of its own."""
    backlog = Backlog(lab.topics())
    say(f"producing {fleet.readings:,} readings, {form}{' with repeats' * repeats}")
    children = [
        lab.start(
            ["bench.producing", json.dumps(_order(lab, fleet, name, topic, form, repeats))],
            lab.environment("none", backlog.topics),
            piped=True,
        )
        for name, topic in backlog.topics.items()
    ]
    for child in children:
        sent = json.loads(lab.output(child))
        backlog.readings += sent["readings"]
        backlog.distinct += sent["distinct"]
        backlog.value_bytes += sent["value_bytes"]
    backlog.ends = ends(lab, backlog.topics)
    return backlog


def ends(lab: Lab, topics: dict[str, str]) -> dict[TopicPartition, int]:
    """The ends of these topics' logs."""
    return asyncio.run(_ends(lab.servers, list(topics.values())))


async def _ends(servers: str, topics: list[str]) -> dict[TopicPartition, int]:
    async with AIOKafkaConsumer(bootstrap_servers=servers) as consumer:
        partitions = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
        found: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return found


def _order(
    lab: Lab, fleet: BenchFleet, name: str, topic: str, form: str, repeats: bool
) -> dict[str, object]:
    readings = fleet.streams[name]
    return {
        "servers": lab.servers,
        "topic": topic,
        "stream": name,
        "form": form,
        "repeats": repeats,
        "devices": len(readings.ids),
        "minutes": fleet.minutes,
        "start": readings.start.isoformat(),
        "clock": readings.clock,
    }
