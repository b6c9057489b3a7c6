"""A consumer and the logs it reads, in memory: it does what the loop relies on aiokafka for.

`consumer_contract.py` says what that is, and is run against this one and against aiokafka's.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CorruptRecordException,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import OffsetAndMetadata

from ingest_worker.loop.group_member import GroupMember
from ingest_worker.write.batch import Record

DEFAULT_MAX_RECORDS = 500


@dataclass
class FakeRecord:
    """What is read of a record; `timestamp` is in ms."""

    offset: int
    value: bytes | None = b""
    timestamp: int = 1_700_000_000_000


@dataclass
class FakeLog:
    """The log of one partition."""

    records: list[FakeRecord] = field(default_factory=list)
    start: int = 0
    end: int = 0
    corrupt: set[int] = field(default_factory=set)
    """Offsets of records that cannot be fetched."""

    def append(self, *values: bytes | None) -> None:
        """Add records at the end."""
        for value in values:
            self.records.append(FakeRecord(self.end, value))
            self.end += 1

    def skip(self, count: int) -> None:
        """Add offsets without records, as markers of transactions are."""
        self.end += count

    def delete_before(self, offset: int) -> None:
        """Have the log start at this offset."""
        self.records = [record for record in self.records if record.offset >= offset]
        self.start = offset


class FakeConsumer(GroupMember):
    """Reads logs; which partitions it is assigned is up to the test."""

    _closed = True
    """Nothing needs closing."""
    connected = True

    def __init__(self, logs: Mapping[TopicPartition, FakeLog]) -> None:
        self.logs = dict(logs)
        self.group: dict[TopicPartition, OffsetAndMetadata] = {}
        """What the group has committed."""
        self.kept_out: KafkaError | None = None
        """Why the group lets this consumer in no more."""
        self.stopped = False
        self.failures: list[KafkaError] = []
        """What the next fetches raise, one each."""
        self.empty_answers = 0
        """How many of the next fetches return nothing."""
        self.paused: set[TopicPartition] = set()
        self._positions: dict[TopicPartition, int | None] = {}
        self._highwaters: dict[TopicPartition, int] = {}
        self._answers: Counter[TopicPartition] = Counter()
        self._listener: ConsumerRebalanceListener | None = None
        self._topics: set[str] = set()

    # Membership ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Nothing is to be connected."""

    async def stop(self) -> None:
        """Give all partitions up."""
        self._positions = {}
        self.stopped = True

    async def topics(self) -> set[str]:
        """The topics that exist."""
        return {partition.topic for partition in self.logs}

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """The partitions of a topic; None when there is no such topic."""
        return {p.partition for p in self.logs if p.topic == topic} or None

    def coordination_error(self) -> KafkaError | None:
        """Why this consumer is kept out of the group."""
        return self.kept_out

    async def why_not_connected(self) -> str | None:
        """It always is."""
        return None

    def subscribe(self, topics: Iterable[str], listener: ConsumerRebalanceListener) -> None:
        """Join the group: the only member is assigned every partition, one kept out none."""
        self._topics = set(topics)
        self._listener = listener
        if self.kept_out is None:
            self.rebalance(partition for partition in self.logs if partition.topic in self._topics)

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions, without a group."""
        self._positions = dict.fromkeys(partitions)

    def rebalance(self, partitions: Iterable[TopicPartition]) -> None:
        """Assign these partitions from now on; where they are read is forgotten."""
        if self._listener:
            self._listener.on_partitions_revoked(self.assignment())
        self.assign(partitions)
        self.paused.clear()
        self._highwaters.clear()
        if self._listener:
            self._listener.on_partitions_assigned(self.assignment())

    def assignment(self) -> frozenset[TopicPartition]:
        """The assigned partitions."""
        return frozenset(self._positions)

    async def commit(self, offsets: Mapping[TopicPartition, int | OffsetAndMetadata]) -> None:
        """Keep the group's offsets."""
        for partition, offset in offsets.items():
            self.group[partition] = (
                offset if isinstance(offset, OffsetAndMetadata) else OffsetAndMetadata(offset, "")
            )

    @property
    def acknowledged(self) -> dict[TopicPartition, int]:
        """The offsets that the group has committed."""
        return {partition: offset.offset for partition, offset in self.group.items()}

    async def group_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """What the group has committed of these partitions."""
        return {p: self.group[p] for p in partitions if p in self.group}

    # Fetching --------------------------------------------------------------------------------

    async def getmany(
        self,
        *partitions: TopicPartition,
        timeout_ms: int = 0,
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[Record]]:
        """The next records; without any, wait no longer than for other tasks to take a turn."""
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        if self.empty_answers:
            self.empty_answers -= 1
            return {}
        fetched: dict[TopicPartition, list[Record]] = {}
        left = DEFAULT_MAX_RECORDS if max_records is None else max_records
        for partition in partitions or self._positions:
            if partition in self._positions and partition not in self.paused and left:
                records = self._take(partition, left)
                left -= len(records)
                if records:
                    fetched[partition] = records
        return fetched

    def _take(self, partition: TopicPartition, count: int) -> list[Record]:
        """Take up to `count` records; those taken before a failure are lost, as in aiokafka."""
        log, position = self.logs[partition], self._positions[partition]
        if position is None:
            raise NoOffsetForPartitionError(partition)
        self._highwaters[partition] = log.end
        self._answers[partition] += 1
        if not log.start <= position <= log.end:
            raise OffsetOutOfRangeError({partition: position})
        taken: list[Record] = []
        following = (record for record in log.records if record.offset >= position)
        for record in following:
            if len(taken) == count:
                return taken
            if record.offset in log.corrupt:
                raise CorruptRecordException(f"offset {record.offset}")
            self._positions[partition] = record.offset + 1
            taken.append(record)
        self._positions[partition] = log.end
        return taken

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Fetch on from this offset."""
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """The next offset that is fetched; waits until there is one."""
        if partition not in self._positions:
            raise IllegalStateError(f"{partition} is not assigned")
        position = self._positions[partition]
        if position is None:
            await asyncio.Event().wait()
        assert position is not None
        return position

    def pause(self, partition: TopicPartition) -> None:
        """Return no record of it until `resume`."""
        self.paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        """Return its records again."""
        self.paused.discard(partition)

    # The logs --------------------------------------------------------------------------------

    def highwater(self, partition: TopicPartition) -> int | None:
        """The log's end as of the last fetch."""
        assert partition in self._positions
        return self._highwaters.get(partition)

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        """When a fetch of it was answered last: so many answers after the beginning."""
        assert partition in self._positions
        return self._answers[partition] or None

    async def beginning_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The first offset of each log."""
        return {partition: self.logs[partition].start for partition in partitions}

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The offset after the last of each log."""
        return {partition: self.logs[partition].end for partition in partitions}
