"""A backlog: readings that are put into Kafka once, before workers are measured with them."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.lab import Lab
from bench.messages import say
from bench.options import Options
from bench.producing import PARTITIONS
from bench.readings import BenchFleet, fleet
from brokers.connect import kafka_options
from ingest_worker.housekeeping.reindexing import OVER_SINCE
from schemas.settings import Settings


@dataclass
class Backlog:
    """The readings in some topics of Kafka."""

    topics: dict[str, str]
    """By the stream's name."""
    readings: int = 0
    distinct: int = 0
    """The number of readings without the repeats."""
    value_bytes: int = 0
    ends: dict[TopicPartition, int] = field(default_factory=dict)
    """The logs' ends."""


def last_day() -> datetime:
    """The start of the last UTC day that is over for housekeeping."""
    over_until = (datetime.now(UTC) - OVER_SINCE).replace(hour=0, minute=0, second=0, microsecond=0)
    return over_until - timedelta(days=1)


def backlog_fleet(options: Options) -> BenchFleet:
    """The fleet whose readings make a backlog; they begin with `last_day`."""
    return fleet(
        devices=options.devices, minutes=options.minutes, start=last_day(), clock=options.clock
    )


def produce(lab: Lab, fleet: BenchFleet, form: str, *, repeats: bool = False) -> Backlog:
    """Send all readings of the fleet to new topics, each stream from a process of its own."""
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
    return asyncio.run(_ends(lab.settings, list(topics.values())))


async def _ends(settings: Settings, topics: list[str]) -> dict[TopicPartition, int]:
    async with AIOKafkaConsumer(**kafka_options(settings)) as consumer:
        partitions = [TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
        found: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        return found


def _order(
    lab: Lab, fleet: BenchFleet, name: str, topic: str, form: str, repeats: bool
) -> dict[str, object]:
    readings = fleet.streams[name]
    return {
        "topic": topic,
        "stream": name,
        "form": form,
        "repeats": repeats,
        "devices": len(readings.ids),
        "minutes": fleet.minutes,
        "start": readings.start.isoformat(),
        "clock": readings.clock,
    }
