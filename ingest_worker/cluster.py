"""Kafka's side in words and one-off questions: partitions' names, log bounds and live owners."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from schemas.settings import Settings

REQUEST_TIMEOUT_MS = 10_000
REBALANCED_WITHIN_S = 30.0
LOOK_AGAIN_S = 0.5
REBALANCING = ("PreparingRebalance", "CompletingRebalance")


def name_of(partition: TopicPartition) -> str:
    """As people know it, and Kafka's own tools print it."""
    return f"{partition.topic}-{partition.partition}"


async def log_bounds(
    settings: Settings, topics: Collection[str]
) -> dict[TopicPartition, tuple[int, int]]:
    """Start and end of every partition of those topics that exist. Raises KafkaError.

    The end is where transactions under way begin, as for the workers.
    """
    options = settings.kafka_options()
    async with _admin(settings) as admin:
        # Asking for a topic by name may create it; asking for none means all of them.
        there = sorted(set(topics).intersection(await admin.list_topics()))
        described = await admin.describe_topics(there) if there else []
    partitions = [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
    if not partitions:
        return {}
    async with AIOKafkaConsumer(
        **options, isolation_level="read_committed", request_timeout_ms=REQUEST_TIMEOUT_MS
    ) as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    return {partition: (starts[partition], ends[partition]) for partition in partitions}


async def live_owned(settings: Settings) -> set[TopicPartition]:
    """The partitions that live members of the group hold, by Kafka's word. Raises KafkaError.

    Waits while the members are being told what is whose.
    """
    async with _admin(settings) as admin, asyncio.timeout(REBALANCED_WITHIN_S):
        while True:
            (answer,) = await admin.describe_consumer_groups([settings.kafka_group_id])
            (group,) = answer.to_object()["groups"]
            if group["error_code"]:
                raise for_code(group["error_code"])(settings.kafka_group_id)
            if group["state"] not in REBALANCING:
                break
            await asyncio.sleep(LOOK_AGAIN_S)
    owned = set()
    for member in group["members"]:
        if member["member_assignment"]:
            assignment = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
            owned.update(assignment.partitions())
    return owned


@asynccontextmanager
async def _admin(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**settings.kafka_options(), request_timeout_ms=REQUEST_TIMEOUT_MS)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
