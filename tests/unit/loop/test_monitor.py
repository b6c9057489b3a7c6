"""The monitor doubts positions that somebody else changed, and none that the loop is moving.

It says who is no member of the group, and which other database reads under the same group id.
"""

import asyncio
from collections.abc import Callable, Iterable

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from ingest_worker.health import Status
from ingest_worker.loop import monitor
from ingest_worker.loop.claims import claim_of
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.membership import Membership
from ingest_worker.loop.monitor import (
    PositionReader,
    check_claims,
    check_positions,
    report_membership,
)
from ingest_worker.loop.source import Source
from tests.unit.loop.fake_consumer import FakeConsumer, FakeLog

Rows = dict[TopicPartition, tuple[int, str | None]]
A, B = TopicPartition("t", 0), TopicPartition("t", 1)
OURS, THEIRS = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "12")


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
    asyncio.run(check_positions(positions, member(A, B)[1], Status(), reader))
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


def member(*partitions: TopicPartition) -> tuple[FakeConsumer, Source]:
    """A consumer to which the group gives these of two partitions, and its source."""
    consumer = FakeConsumer({A: FakeLog(), B: FakeLog()})
    source = Source(Membership(lambda: consumer, ["t"]))
    source.group.identity = OURS
    source.group.join()
    consumer.rebalance(partitions)
    return consumer, source


def started() -> Status:
    status = Status()
    status.works("start")
    return status


def test_a_member_without_partitions_is_ready() -> None:
    _, source = member()
    status = Status()
    report_membership(held({}), source, status)
    assert status.ready() == (True, {"reasons": {}})


def test_who_is_no_member_for_long_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, source = member(A)
    status = started()
    listener = consumer._listener
    assert listener
    listener.on_partitions_revoked({A})
    report_membership(held({}), source, status)
    assert status.ready()[0]
    monkeypatch.setattr(monitor, "APART_AFTER_S", 0.0)
    report_membership(held({}), source, status)
    assert "not a member" in status.ready()[1]["reasons"]["group"]
    source.group.kept_out = "not allowed"
    report_membership(held({}), source, status)
    assert status.ready()[1]["reasons"] == {"group": "not allowed"}
    listener.on_partitions_assigned({A})
    report_membership(held({}), source, status)
    assert status.ready()[0]


@pytest.mark.parametrize(
    ("partition", "metadata", "doubt", "said"),
    [
        (A, claim_of(THEIRS), "another database claims t-0", ""),
        (B, claim_of(THEIRS), None, f"database {THEIRS} reads t-1"),
        (B, claim_of(OURS, THEIRS), None, f"database {THEIRS} holds t-1"),
        (A, claim_of(OURS), None, ""),
        (B, claim_of(OURS), None, ""),
        (B, "", None, ""),
        (B, "somebody else's", None, ""),
    ],
)
def test_what_other_databases_claim_is_said(
    partition: TopicPartition, metadata: str, doubt: str | None, said: str
) -> None:
    consumer, source = member(A)
    positions, status = held({A: 0}), started()
    consumer.group[partition] = OffsetAndMetadata(0, metadata)
    asyncio.run(check_claims(positions, source, status))
    assert positions.doubt == doubt
    degraded = status.ready()[1].get("degraded", {})
    assert said in degraded.get("group", "")
    assert bool(degraded) == bool(said)
    consumer.group.clear()
    asyncio.run(check_claims(positions, source, status))
    assert "degraded" not in status.ready()[1]
