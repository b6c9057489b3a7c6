"""One-off questions to Kafka, for the operator's commands: log bounds and live owners."""

from collections.abc import Collection

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from schemas.settings import Settings

REQUEST_TIMEOUT_MS = 10_000


async def log_bounds(
    settings: Settings, topics: Collection[str]
) -> dict[TopicPartition, tuple[int, int]]:
    """Start and end of every partition of those topics that exist. Raises KafkaError."""
    if not topics:
        return {}  # asking Kafka about no topic means all of them
    options = settings.kafka_options()
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_TIMEOUT_MS)
    await admin.start()
    try:
        described = await admin.describe_topics(sorted(set(topics)))
    finally:
        await admin.close()
    partitions = [
        TopicPartition(topic["topic"], partition["partition"])
        for topic in described
        for partition in topic["partitions"]
    ]
    if not partitions:
        return {}
    async with AIOKafkaConsumer(**options, request_timeout_ms=REQUEST_TIMEOUT_MS) as consumer:
        starts = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
    return {partition: (starts[partition], ends[partition]) for partition in partitions}


async def live_owned(settings: Settings) -> set[TopicPartition]:
    """The partitions that live members of the group hold, by Kafka's word. Raises KafkaError."""
    options = settings.kafka_options()
    admin = AIOKafkaAdminClient(**options, request_timeout_ms=REQUEST_TIMEOUT_MS)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([settings.kafka_group_id])
    finally:
        await admin.close()
    owned = set()
    for group in answer.groups:
        for member in group[5]:
            if member[4]:
                assignment = ConsumerProtocolMemberAssignment.decode(member[4])
                owned.update(assignment.partitions())
    return owned
