"""What a worker reads of the partitions it holds: each exactly from its position in PostgreSQL.

The group only says which partitions are ours (`membership.py`). Where reading goes on is decided
here from our own positions; what is committed to Kafka's group is never read for that.
"""

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence

from aiokafka import TopicPartition
from aiokafka.errors import (
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)

from ingest_worker import metrics
from ingest_worker.errors import InDoubtError, LostPositionError
from ingest_worker.loop.admission import Gap, admit
from ingest_worker.loop.fetching import MISPLACED, FetchFailure, Fetching
from ingest_worker.loop.group_member import GroupMember
from ingest_worker.loop.holding_back import HoldingBack
from ingest_worker.loop.membership import Membership
from ingest_worker.write.batch import Record

POSITION_WITHIN_S = 0.05
"""How long the consumer may take to name its positions; after a rebalance it may have none."""
LEAVE_WITHIN_S = 5.0
"""How long a consumer that is of no use any more may take to end."""
CLAIMS_WITHIN_S = 10.0
NO_ANSWER = (TimeoutError, KafkaTimeoutError, RequestTimedOutError, NodeNotReadyError)

log = logging.getLogger(__name__)

Fetched = list[tuple[TopicPartition, Sequence[Record]]]


class Source:
    """Reads the held partitions, each exactly from its position on."""

    def __init__(self, group: Membership) -> None:
        """`group` says which partitions are ours, and has the consumer that reads them."""
        self.group = group
        self._positions: dict[TopicPartition, int] = {}
        self._suspects: dict[TopicPartition, Gap] = {}
        self._last_read: dict[TopicPartition, tuple[int, int]] = {}
        self._left_over: Fetched = []
        self._aside: dict[TopicPartition, Sequence[Record]] = {}
        self._holding_back = HoldingBack()
        self._fetching = Fetching(self._consumer, self._seek_back)
        group.on_rebalance = self._suspects.clear

    @property
    def _consumer(self) -> GroupMember:
        return self.group.consumer

    @property
    def failing(self) -> Mapping[TopicPartition, FetchFailure]:
        """Held partitions that cannot be fetched; `fetch` tries each again from time to time."""
        return self._fetching.failing

    def hold(
        self,
        positions: Mapping[TopicPartition, int],
        last_read: Mapping[TopicPartition, tuple[int, int]],
    ) -> None:
        """Read these partitions from these positions on, and no others.

        `last_read` holds offset and Kafka's time of the record read last before the position;
        reading starts there, to see that the log still holds that very record.
        """
        self._positions = dict(positions)
        self._last_read = dict(last_read)
        self._suspects.clear()
        self._left_over.clear()
        self._aside.clear()
        self._holding_back.clear()
        self._fetching = Fetching(self._consumer, self._seek_back)
        self._fetching.begin(positions)
        for partition in self._consumer.assignment():
            if partition in positions:
                self._consumer.resume(partition)
            else:
                self._consumer.pause(partition)
        self._seek_back(*positions)

    async def fetch(self, timeout_s: float) -> Fetched:
        """Records that continue each held partition at its position.

        Waits up to `timeout_s` for the first. Raises LostPositionError for a partition that was
        replaced, InDoubtError for one whose log does not reach to its position, and KeptOutError
        once Kafka keeps us out of the group.
        """
        self.group.check()
        for partition in self._holding_back.end_due():
            if partition in self._consumer.assignment():
                self._consumer.resume(partition)
        if self._left_over:
            left_over, self._left_over = self._left_over, []
            return left_over
        if not self._positions:
            await asyncio.sleep(timeout_s)
            return []
        try:
            fetched = await self._fetching.fetch(timeout_s, without=self._aside)
        except MISPLACED as error:
            raise InDoubtError(f"fetch failed: {error!r}") from error
        admitted = list(self._aside.items())
        self._aside = {}
        for partition, records in fetched.items():
            if partition in self._positions:
                believed = self._admit(partition, records)
                if believed:
                    admitted.append((partition, believed))
        return admitted

    def put_back(
        self, partition: TopicPartition, records: Sequence[Record], *, aside: bool = False
    ) -> None:
        """Return records that did not fit; they come first in the next fetch.

        `aside`: there they come with what is fetched of the other partitions.
        """
        if records and aside:
            self._aside[partition] = records
        elif records:
            self._left_over.append((partition, records))

    def hold_back(self, partition: TopicPartition, position: int) -> None:
        """Read a partition again from this position on, after a pause: it cannot be written yet."""
        self._holding_back.begin(partition, position)
        self._positions[partition] = position
        self._suspects.pop(partition, None)
        self._left_over = [entry for entry in self._left_over if entry[0] != partition]
        self._aside.pop(partition, None)
        if partition in self._consumer.assignment():
            self._seek_back(partition)
            self._consumer.pause(partition)

    async def trailing(self) -> dict[TopicPartition, Gap]:
        """Where the log goes on past our positions without records: markers of transactions.

        Wants an empty batch: all that was fetched is written. Like any gap, one is believed only
        when a fetch after a new seek shows it again.
        """
        gaps = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POSITION_WITHIN_S):
                for partition in self._consumer.assignment() & self._positions.keys():
                    gap = Gap(self._positions[partition], await self._consumer.position(partition))
                    if gap.first <= gap.position:
                        continue
                    if self._suspects.get(partition) == gap:
                        gaps[partition] = gap
                    else:
                        self._suspects[partition] = gap
                        self._consumer.seek(partition, gap.position)
        return gaps

    def pass_over(self, partition: TopicPartition, gap: Gap) -> None:
        """Note that our position has moved past the gap."""
        metrics.GAPS.labels(partition.topic).inc(gap.first - gap.position)
        self._positions[partition] = gap.first
        self._suspects.pop(partition, None)

    def records_behind(self) -> int:
        """How many offsets Kafka is known to hold beyond those fetched."""
        behind = 0
        assigned = self._consumer.assignment()
        for partition, position in self._positions.items():
            if partition in assigned and not self._holding_back.pauses(partition):
                behind += max(0, (self._consumer.highwater(partition) or 0) - position)
        return behind

    def _seek_back(self, *partitions: TopicPartition) -> None:
        """Fetch on from our own positions, or from the last read record, to see it again."""
        assigned = self._consumer.assignment()
        for partition in assigned.intersection(partitions):
            last_read = self._last_read.get(partition)
            at = last_read[0] if last_read else self._positions[partition]
            self._consumer.seek(partition, at)

    def _admit(self, partition: TopicPartition, records: list[Record]) -> Sequence[Record]:
        self._check_last_read(partition, records)
        position = self._positions[partition]
        admitted = admit(records, position, self._suspects.get(partition))
        if admitted.suspect:
            self._suspects[partition] = admitted.suspect
            self._consumer.seek(partition, position)
            return ()
        if admitted.gap:
            metrics.GAPS.labels(partition.topic).inc(admitted.gap.first - position)
        believed = records[admitted.skip :]
        if believed:
            self._suspects.pop(partition, None)
            self._positions[partition] = believed[-1].offset + 1
        return believed

    def _check_last_read(self, partition: TopicPartition, records: Sequence[Record]) -> None:
        if not records or partition not in self._last_read:
            return
        offset, record_ms = self._last_read[partition]
        if records[0].offset < offset:
            return
        del self._last_read[partition]
        if records[0].offset == offset and records[0].timestamp != record_ms:
            raise LostPositionError(
                partition,
                self._positions[partition],
                f"offset {offset} holds another record than the one read last: the topic was"
                " created anew",
            )
