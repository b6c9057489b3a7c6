"""aiokafka's consumer, and what a member of a group must know that aiokafka keeps to itself.

It reaches into private parts of aiokafka: hence the tight bound on its version, and the contract
that `tests/unit/loop/consumer_contract.py` holds it to.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from brokers.refusals import why_not_connected
from ingest_worker.records.handout import RecordConsumer


class GroupMember(RecordConsumer):
    """A consumer that says why it is no member, and what its group has committed."""

    def __init__(self, kafka_options: Mapping[str, Any], **options: Any) -> None:
        """`kafka_options` is how to reach the brokers; `options` are the consumer's others."""
        super().__init__(**kafka_options, **options)
        self._kafka_options = dict(kafka_options)

    @property
    def connected(self) -> bool:
        """Whether it was started."""
        return self._coordinator is not None

    def coordination_error(self) -> KafkaError | None:
        """Why its membership came to an end for good, such as a group that it may not read.

        aiokafka goes on only after somebody fetched, which nobody does without partitions; and a
        heartbeat that was refused is never sent again. So wants a new consumer.
        """
        coordinator = self._coordinator
        if coordinator is None:
            return None
        error = coordinator._pending_exception
        task = coordinator._coordination_task
        if error is None and task.done() and not task.cancelled():
            error = task.exception()
        if error is not None and not isinstance(error, KafkaError):
            return KafkaError(repr(error))
        return error

    async def group_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed for these partitions, held or not. Raises KafkaError.

        It tries for as long as the coordinator cannot be reached.
        """
        committed: dict[TopicPartition, OffsetAndMetadata]
        committed = await self._coordinator.fetch_committed_offsets(list(partitions))
        return committed

    async def why_not_connected(self) -> str | None:
        """Why the brokers don't let us in; None when one of them does."""
        return await why_not_connected(self._kafka_options)
