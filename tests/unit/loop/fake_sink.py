"""A sink and the positions it moves, in memory; it fails as a test tells it to."""

import threading
from collections import Counter
from collections.abc import Sequence

from aiokafka import TopicPartition

from ingest_worker.errors import FencedError
from ingest_worker.write.batch import Part
from ingest_worker.write.lane import Outcome
from ingest_worker.write.ledger import Position
from ingest_worker.write.sink import Sink
from sql.errors import DaysUnavailableError


class FakeSink(Sink):
    """Moves positions by compare-and-set, as PostgreSQL does; several sinks may share a table."""

    def __init__(self, table: dict[TopicPartition, Position] | None = None) -> None:
        self.table = {} if table is None else table
        self.failures: list[Exception] = []
        """What the next flushes raise, one each."""
        self.unavailable: dict[int, str] = {}
        """Days that get no partition, and why."""
        self.flushed: list[list[Part]] = []
        self.stopped: list[tuple[TopicPartition, int, str]] = []
        self.takes = 0
        self.flushing = threading.Event()
        """The first flush has begun."""
        self.may_flush = threading.Event()
        """A flush hangs until it is set."""
        self.may_flush.set()
        self.aborted = self.closed = False

    def take(self, starts: dict[TopicPartition, int]) -> dict[TopicPartition, Position]:
        """Read the positions."""
        self.takes += 1
        for partition, start in starts.items():
            self.table.setdefault(partition, Position(start, None, None, None))
        return {partition: self.table[partition] for partition in starts}

    def flush(self, parts: Sequence[Part]) -> dict[str, Outcome]:
        """Move the parts' positions."""
        self.flushing.set()
        assert self.may_flush.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        unavailable = {
            part.stream.name: self.unavailable
            for part in parts
            if part.days() & self.unavailable.keys()
        }
        if unavailable:
            raise DaysUnavailableError(unavailable)
        for part in parts:
            if self.table[part.partition].next_offset != part.start:
                raise FencedError(f"{part.partition} is elsewhere")
        for part in parts:
            assert part.last
            self.table[part.partition] = self.table[part.partition]._replace(
                next_offset=part.end,
                last_offset=part.last.offset,
                last_record_ms=part.last.timestamp,
            )
        self.flushed.append(list(parts))
        return {part.partition.topic: Outcome(part.readings, 0, Counter()) for part in parts}

    def pass_over(self, partition: TopicPartition, position: int, next_offset: int) -> None:
        """Move a position past offsets without records."""
        if self.table[partition].next_offset != position:
            raise FencedError(f"{partition} is elsewhere")
        self.table[partition] = self.table[partition]._replace(next_offset=next_offset)

    def stop(
        self,
        partition: TopicPartition,
        next_offset: int,
        why: str,
        claimed_by: str | None = None,
    ) -> None:
        """Note that a partition waits for an operator."""
        self.stopped.append((partition, next_offset, why))
        self.table[partition] = self.table[partition]._replace(stopped=why)

    def forget_override(self, partition: TopicPartition) -> None:
        """Note that our own claim stands there."""
        self.table[partition] = self.table[partition]._replace(claim_overridden=None)

    def abort(self) -> None:
        """Have a flush that hangs come back."""
        self.aborted = True
        self.may_flush.set()

    def close(self) -> None:
        """Note that the connection was closed."""
        self.closed = True
