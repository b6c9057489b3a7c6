"""A worker's membership in its consumer group, for as long as the process runs.

It outlasts the consumers: one that Kafka has kept out of the group is of no use any more, and
another takes its place. What is committed to the group is for lag tools, and says which database
reads there.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.structs import OffsetAndMetadata

from brokers.partitions import Bounds, bounds_of
from ingest_worker.errors import InDoubtError, KeptOutError
from ingest_worker.loop.claims import Claim, claim_of, claims_in
from ingest_worker.loop.group_member import GroupMember
from schemas.text import one_line

LEAVE_WITHIN_S = 5.0
"""How long a consumer that is of no use any more may take to end."""
CLAIMS_WITHIN_S = 10.0
NO_ANSWER = (TimeoutError, KafkaTimeoutError, RequestTimedOutError, NodeNotReadyError)

log = logging.getLogger(__name__)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells of a rebalance's beginning and end; the end may leave a member without partitions."""

    def __init__(self, moved: Callable[[bool], None]) -> None:
        """`moved` is told whether the consumer is a member now."""
        self._moved = moved

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._moved(False)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._moved(True)


class Membership:
    """Joins the group, says which partitions it gives us, and tells it how far we are."""

    def __init__(self, new_consumer: Callable[[], GroupMember], topics: list[str]) -> None:
        """`new_consumer` makes a consumer that is not started yet, each time it is called."""
        self.topics = topics
        self.identity = ""
        """Which database these partitions are read into: it claims them when acknowledging."""
        self.kept_out: str | None = None
        """Why Kafka keeps us out of the group, until it lets us in."""
        self.on_rebalance: Callable[[], None] = lambda: None
        """Called when partitions are taken or given: the consumer then reads from elsewhere."""
        self.consumer = new_consumer()
        self._new_consumer = new_consumer
        self._apart_since: float | None = time.monotonic()

    async def start(self) -> None:
        """Connect. Raises KafkaError while no broker answers."""
        await self.consumer.start()

    async def missing_topics(self) -> list[str]:
        """Which topics do not exist, as far as we may know of them. Raises KafkaError."""
        there = await self.consumer.topics()
        return [topic for topic in self.topics if topic not in there]

    def unknown_topics(self) -> list[str]:
        """Topics without partitions, by what the consumer was told lately."""
        return [t for t in self.topics if not self.consumer.partitions_for_topic(t)]

    def join(self) -> None:
        """Join the group; partitions follow."""
        joining = self.consumer

        def moved(member: bool) -> None:
            if self.consumer is joining:
                self.on_rebalance()
                self._apart_since = None if member else self._apart_since or time.monotonic()
                self.kept_out = None if member else self.kept_out

        self.consumer.subscribe(self.topics, listener=_Rebalances(moved))

    async def rejoin(self) -> None:
        """Begin anew with another consumer if this one was kept out. Raises KafkaError.

        aiokafka's does not recover: heartbeats that were refused once are not sent again.
        """
        if self.consumer.coordination_error() is None and self.consumer.connected:
            return
        old = self.consumer
        self.consumer = self._new_consumer()
        self._apart_since = time.monotonic()
        await _stop(old)
        await self.consumer.start()
        self.join()

    def check(self) -> None:
        """Raise KeptOutError once Kafka has kept this consumer out of the group."""
        if error := self.consumer.coordination_error():
            self.kept_out = one_line(error)
            raise KeptOutError(self.kept_out)

    async def stop(self) -> None:
        """Leave the group."""
        with contextlib.suppress(KafkaError):
            await self.consumer.stop()

    @property
    def apart_s(self) -> float:
        """For how long we have not been a member of the group; 0 while we are."""
        return 0.0 if self._apart_since is None else time.monotonic() - self._apart_since

    async def reason_of(self, error: BaseException) -> str:
        """Why Kafka failed us, for people: also when aiokafka says only that nobody answered."""
        why = await self.consumer.why_not_connected()
        if why is not None:
            return f"cannot connect: {why}"
        return "no answer" if isinstance(error, NO_ANSWER) else one_line(error)

    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that the group assigns to this member now."""
        return frozenset(self.consumer.assignment())

    async def bounds(self, partitions: Sequence[TopicPartition]) -> Bounds:
        """Start and end of each partition's log. Raises KafkaError."""
        self._must_be_connected()
        return await bounds_of(self.consumer, partitions)

    async def claims(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Claim]:
        """Which database reads each partition, as far as the group's commits say so.

        Raises KafkaError.
        """
        self._must_be_connected()
        try:
            async with asyncio.timeout(CLAIMS_WITHIN_S):
                return claims_in(await self.consumer.group_offsets(partitions))
        except TimeoutError:
            raise KafkaTimeoutError("the group's coordinator does not answer") from None

    def partitions(self) -> list[TopicPartition]:
        """All partitions of our topics that Kafka was known to have lately."""
        return [
            TopicPartition(topic, number)
            for topic in self.topics
            for number in sorted(self.consumer.partitions_for_topic(topic) or ())
        ]

    async def acknowledge(self, positions: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Tell Kafka's group how far we are; returns whether it took it.

        A courtesy to lag tools, and the claim of our database: its failure is no harm.
        """
        try:
            await asyncio.wait_for(self.claim(positions), timeout_s)
        except (KafkaError, InDoubtError, TimeoutError) as error:
            log.debug("group commit failed: %r", error)
            return False
        return True

    async def claim(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the positions to Kafka's group in the name of our database.

        Raises KafkaError, and InDoubtError when they are no longer ours.
        """
        claim = claim_of(self.identity)
        await self._commit({p: OffsetAndMetadata(at, claim) for p, at in positions.items()})

    async def respect(self, claims: Mapping[TopicPartition, Claim]) -> None:
        """Let the owners know that we hold what is theirs, unread. Raises as `claim` does."""
        await self._commit(
            {
                partition: OffsetAndMetadata(claim.offset, claim_of(claim.owner, self.identity))
                for partition, claim in claims.items()
                if claim.holder != self.identity
            }
        )

    async def _commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if offsets:
            try:
                await self.consumer.commit(offsets)
            except (CommitFailedError, IllegalStateError) as error:
                raise InDoubtError(f"the group is rebalancing: {one_line(error)}") from error

    def _must_be_connected(self) -> None:
        if not self.consumer.connected:
            raise KafkaConnectionError("not connected")


async def _stop(consumer: GroupMember) -> None:
    """End a consumer that is given up, whatever it says."""
    with contextlib.suppress(KafkaError, TimeoutError):
        await asyncio.wait_for(consumer.stop(), LEAVE_WITHIN_S)
