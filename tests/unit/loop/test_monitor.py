"""The monitor doubts positions that somebody else changed, and none that the loop is moving."""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from aiokafka import TopicPartition

from ingest_worker.health import Status
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.monitor import PositionReader, check_positions
from ingest_worker.loop.source import Source

Rows = dict[TopicPartition, tuple[int, str | None]]
A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class FakeSource(Source):
    """A source whose partitions are all held."""

    def __init__(self) -> None:
        """It needs no consumer."""

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset([A, B])


class FakeReader(PositionReader):
    """Reads positions that a test sets; `meanwhile` is called after they were read."""

    def __init__(self, rows: Rows, meanwhile: Callable[[], None] = lambda: None) -> None:
        self.rows = rows
        self.meanwhile = meanwhile

    def read(self, partitions: Iterable[TopicPartition]) -> Rows:
        assert set(partitions) == {A, B}
        self.meanwhile()
        return self.rows


def doubt_of(reader: FakeReader, positions: HeldPositions) -> str | None:
    asyncio.run(check_positions(positions, FakeSource(), Status(), reader))
    return positions.doubt


def held(committed: dict[TopicPartition, int]) -> HeldPositions:
    positions = HeldPositions()
    positions.hold(committed)
    return positions


@pytest.mark.parametrize(
    ("rows", "doubt"),
    [
        ({A: (5, None), B: (7, None)}, None),
        ({A: (4, None), B: (7, None)}, "positions were changed: t-0"),
        ({A: (5, None), B: (7, "for an operator")}, "positions were changed: t-1"),
    ],
)
def test_positions_that_differ_are_doubted(rows: Rows, doubt: str | None) -> None:
    assert doubt_of(FakeReader(rows), held({A: 5, B: 7})) == doubt


def test_a_stopped_partition_is_doubted_once_it_is_set() -> None:
    assert doubt_of(FakeReader({A: (5, None), B: (7, "stopped")}), held({A: 5})) is None
    changed = FakeReader({A: (5, None), B: (7, None)})
    assert doubt_of(changed, held({A: 5})) == "positions were changed: t-1"


def test_positions_that_may_be_moving_are_not_doubted() -> None:
    positions = held({A: 5, B: 7})
    with positions.being_moved():
        assert doubt_of(FakeReader({A: (6, None), B: (7, None)}), positions) is None


def test_positions_that_moved_while_they_were_read_are_not_doubted() -> None:
    positions = held({A: 5, B: 7})
    reader = FakeReader({A: (5, None), B: (7, None)}, lambda: positions.advance(A, 6))
    assert doubt_of(reader, positions) is None
