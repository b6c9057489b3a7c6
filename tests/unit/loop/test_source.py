"""What a source doubts: gaps, records that are not those it read last, logs that are too short."""

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from ingest_worker.errors import InDoubtError, LostPositionError
from ingest_worker.loop import holding_back
from ingest_worker.loop.admission import Gap
from ingest_worker.loop.holding_back import HoldingBack
from ingest_worker.loop.membership import Membership
from ingest_worker.loop.source import Source
from tests.unit.loop.fake_consumer import FakeConsumer, FakeLog

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class Reading:
    """A source that holds partitions of these logs from these positions on."""

    def __init__(
        self,
        logs: Mapping[TopicPartition, FakeLog],
        positions: Mapping[TopicPartition, int],
        last_read: Mapping[TopicPartition, tuple[int, int]] | None = None,
    ) -> None:
        self.consumer = FakeConsumer(logs)
        self.source = Source(Membership(lambda: self.consumer, ["t"]))
        self.source.group.join()
        self.source.hold(positions, last_read or {})

    def fetch(self) -> dict[TopicPartition, list[int]]:
        """The offsets of one fetch."""
        fetched = asyncio.run(self.source.fetch(0))
        return {partition: [record.offset for record in records] for partition, records in fetched}


def log_of(count: int, *, gap_before: int = 0) -> FakeLog:
    """Records from `gap_before` on."""
    log = FakeLog()
    log.skip(gap_before)
    log.append(*[b"x"] * count)
    return log


def test_held_partitions_are_read_from_their_positions_and_no_others() -> None:
    reading = Reading({A: log_of(5), B: log_of(5)}, {A: 3})
    assert reading.fetch() == {A: [3, 4]}
    assert reading.fetch() == {}
    assert reading.consumer.paused == {B}


def test_a_gap_is_believed_when_it_is_seen_twice() -> None:
    reading = Reading({A: log_of(2, gap_before=3)}, {A: 0})
    assert reading.fetch() == {}
    assert asyncio.run(reading.consumer.position(A)) == 0
    assert reading.fetch() == {A: [3, 4]}


def test_a_gap_that_another_fetch_does_not_show_was_none() -> None:
    reading = Reading({A: log_of(5)}, {A: 0})
    reading.consumer.seek(A, 3)
    assert reading.fetch() == {}
    assert reading.fetch() == {A: [0, 1, 2, 3, 4]}


def test_a_gap_that_was_seen_before_a_rebalance_proves_nothing() -> None:
    reading = Reading({A: log_of(2, gap_before=3)}, {A: 0})
    assert reading.fetch() == {}
    reading.consumer.rebalance([A])
    reading.consumer.seek(A, 0)
    assert reading.fetch() == {}
    assert reading.fetch() == {A: [3, 4]}


def test_records_below_the_position_are_thrown_away() -> None:
    reading = Reading({A: log_of(5)}, {A: 3})
    reading.consumer.seek(A, 1)
    assert reading.fetch() == {A: [3, 4]}


def test_a_log_that_ends_without_records_is_passed_over_once_it_was_seen_twice() -> None:
    log = log_of(2)
    log.skip(3)
    reading = Reading({A: log}, {A: 0})
    assert reading.fetch() == {A: [0, 1]}
    assert asyncio.run(reading.source.trailing()) == {}
    assert reading.fetch() == {}
    assert asyncio.run(reading.source.trailing()) == {A: Gap(2, 5)}
    reading.source.pass_over(A, Gap(2, 5))
    log.append(b"x")
    assert reading.fetch() == {A: [5]}


def test_the_record_that_was_read_last_is_seen_again_and_not_handed_out() -> None:
    log = log_of(5)
    reading = Reading({A: log}, {A: 3}, {A: (2, log.records[2].timestamp)})
    assert reading.fetch() == {A: [3, 4]}


def test_another_record_in_the_place_of_the_one_read_last_means_a_new_topic() -> None:
    log = log_of(5)
    reading = Reading({A: log}, {A: 3}, {A: (2, log.records[2].timestamp - 1)})
    with pytest.raises(LostPositionError) as lost:
        reading.fetch()
    assert (lost.value.partition, lost.value.position) == (A, 3)
    assert "created anew" in lost.value.why


@pytest.mark.parametrize("position", [1, 7])
def test_a_position_that_the_log_does_not_hold_is_in_doubt(position: int) -> None:
    log = log_of(5)
    log.delete_before(2)
    reading = Reading({A: log}, {A: position})
    with pytest.raises(InDoubtError):
        reading.fetch()


def test_records_that_were_put_back_come_first_and_in_order() -> None:
    reading = Reading({A: log_of(4), B: log_of(2)}, {A: 0, B: 0})
    for partition, records in asyncio.run(reading.source.fetch(0)):
        reading.source.put_back(partition, records[1:])
    reading.consumer.logs[A].append(b"x")
    assert reading.fetch() == {A: [1, 2, 3], B: [1]}
    assert reading.fetch() == {A: [4]}


def test_what_was_put_aside_comes_with_what_is_fetched_of_others() -> None:
    reading = Reading({A: log_of(4), B: log_of(2)}, {A: 0, B: 0})
    for partition, records in asyncio.run(reading.source.fetch(0)):
        reading.source.put_back(partition, records[1:] if partition == A else [], aside=True)
    for partition in (A, B):
        reading.consumer.logs[partition].append(b"x")
    assert reading.fetch() == {A: [1, 2, 3], B: [2]}
    assert reading.fetch() == {A: [4]}


@pytest.mark.parametrize("aside", [False, True])
def test_what_was_put_back_is_dropped_when_positions_are_read_again(aside: bool) -> None:
    reading = Reading({A: log_of(4)}, {A: 0})
    ((partition, records),) = asyncio.run(reading.source.fetch(0))
    reading.source.put_back(partition, records[1:], aside=aside)
    reading.source.hold({A: 2}, {})
    assert reading.fetch() == {A: [2, 3]}


def test_a_failed_fetch_loses_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest_worker.loop.fetching.EMPTY_FETCH_PAUSE_S", 0)
    reading = Reading({A: log_of(4), B: log_of(2)}, {A: 1, B: 0})
    reading.consumer.failures.append(KafkaConnectionError())
    assert reading.fetch() == {}
    assert reading.fetch() == {A: [1, 2, 3], B: [0, 1]}


def test_records_behind_are_those_that_wait_beyond_what_was_fetched() -> None:
    reading = Reading({A: log_of(2_500), B: log_of(0)}, {A: 0, B: 0})
    assert reading.source.records_behind() == 0
    reading.fetch()
    assert reading.source.records_behind() == 500


def test_a_failed_acknowledge_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = Reading({A: log_of(1)}, {A: 0})

    async def fail(_: Mapping[TopicPartition, int]) -> None:
        raise KafkaConnectionError

    assert asyncio.run(reading.source.group.acknowledge({A: 1}, 1.0))
    assert reading.consumer.acknowledged == {A: 1}
    monkeypatch.setattr(reading.consumer, "commit", fail)
    assert not asyncio.run(reading.source.group.acknowledge({A: 2}, 1.0))


def test_what_is_held_back_is_read_again_from_there_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding_back, "FIRST_PAUSE_S", 1_000.0)
    reading = Reading({A: log_of(5), B: log_of(5)}, {A: 0, B: 0})
    fetched = dict(asyncio.run(reading.source.fetch(0)))
    for partition in (A, B):
        reading.source.put_back(partition, fetched[partition][3:])
    reading.source.hold_back(A, 2)
    assert reading.fetch() == {B: [3, 4]}
    assert reading.fetch() == {}
    assert reading.source.records_behind() == 0, "what is held back need not be waited for"
    monkeypatch.setattr(holding_back, "FIRST_PAUSE_S", 0.0)
    reading.source.hold_back(A, 3)
    assert reading.fetch() == {A: [3, 4]}


def test_pauses_grow_while_a_partition_stays_where_it_is() -> None:
    pauses = HoldingBack()
    seconds = [pauses.begin(A, position).seconds for position in (2, 2, 2, 2, 2, 2, 3)]
    assert seconds == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 1.0]
    assert pauses.pauses(A)
    assert not pauses.pauses(B)


def test_a_partition_that_was_held_back_is_read_at_once_when_it_is_held_anew() -> None:
    reading = Reading({A: log_of(5)}, {A: 0})
    reading.source.hold_back(A, 2)
    reading.source.hold({A: 1}, {})
    assert reading.fetch() == {A: [1, 2, 3, 4]}
    assert reading.source.records_behind() == 0
