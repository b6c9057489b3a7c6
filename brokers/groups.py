"""Consumer groups: which partitions their live members hold, as Kafka knows it."""

import asyncio

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from brokers.connect import connected_admin
from schemas.settings import Settings

REBALANCED_WITHIN_S = 30.0
LOOK_AGAIN_S = 0.5
REBALANCING = ("PreparingRebalance", "CompletingRebalance")


async def live_owned(settings: Settings) -> set[TopicPartition]:
    """The partitions that live members of the group hold, as Kafka knows it.

    Waits for a rebalance to end. Raises KafkaError, or TimeoutError after REBALANCED_WITHIN_S.
    """
    async with connected_admin(settings) as admin, asyncio.timeout(REBALANCED_WITHIN_S):
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
