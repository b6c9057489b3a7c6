"""A partition that fails holds up no others."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from ingest_worker.loop import fetching
from ingest_worker.loop.fetching import Fetching
from tests.unit.loop.fake_consumer import FakeConsumer, FakeLog

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def logs(a: int, b: int, *, corrupt_in_b: int | None = None) -> FakeConsumer:
    """A consumer of two partitions with so many records, at their starts; one may be corrupt."""
    consumer = FakeConsumer({A: FakeLog(), B: FakeLog()})
    consumer.logs[A].append(*[b"x"] * a)
    consumer.logs[B].append(*[b"x"] * b)
    if corrupt_in_b is not None:
        consumer.logs[B].corrupt.add(corrupt_in_b)
    consumer.assign([A, B])
    consumer.seek(A, 0)
    consumer.seek(B, 0)
    return consumer


class Reader:
    """Fetches and keeps what it got, as a source does."""

    def __init__(self, consumer: FakeConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 100.0
        monkeypatch.setattr("ingest_worker.loop.fetching.time.monotonic", lambda: self._now)
        monkeypatch.setattr(fetching, "EMPTY_FETCH_PAUSE_S", 0)
        self.consumer = consumer
        self.got: dict[TopicPartition, list[int]] = {A: [], B: []}
        self.fetching = Fetching(consumer, self._seek_back)
        self.fetching.begin([A, B])

    def _seek_back(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self.consumer.seek(partition, len(self.got[partition]))

    def rounds(self, count: int, *, seconds_each: float = 0.1) -> None:
        for _ in range(count):
            fetched = asyncio.run(self.fetching.fetch(0))
            for partition, records in fetched.items():
                self.got[partition] += [record.offset for record in records]
            self._now += seconds_each


def test_the_others_go_on_and_what_comes_before_the_failing_place_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(logs(10, 10, corrupt_in_b=5), monkeypatch)
    reader.rounds(3)
    assert reader.got[A] == list(range(10))
    assert list(reader.fetching.failing) == [B]
    assert "CorruptRecord" in reader.fetching.failing[B].why
    reader.rounds(100)
    assert reader.got[B] == list(range(5))
    reader.consumer.logs[A].append(b"x")
    reader.rounds(1)
    assert reader.got[A] == list(range(11))


def test_what_is_repaired_is_read_on_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(logs(10, 10, corrupt_in_b=5), monkeypatch)
    reader.rounds(50)
    reader.consumer.logs[B].corrupt.clear()
    reader.rounds(100, seconds_each=1)
    assert reader.got == {A: list(range(10)), B: list(range(10))}
    assert reader.fetching.failing == {}


def test_what_is_repaired_fails_no_more_though_it_has_no_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(logs(0, 1, corrupt_in_b=0), monkeypatch)
    reader.rounds(3)
    assert list(reader.fetching.failing) == [B]
    reader.consumer.logs[B] = FakeLog()
    reader.rounds(100, seconds_each=1)
    assert reader.fetching.failing == {}


def test_the_search_outlasts_answers_that_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(logs(10, 10, corrupt_in_b=0), monkeypatch)
    reader.rounds(1)
    reader.consumer.empty_answers = 20
    reader.rounds(30)
    assert reader.got[A] == list(range(10))
    assert list(reader.fetching.failing) == [B]


def test_a_failing_partition_is_tried_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(logs(0, 1, corrupt_in_b=0), monkeypatch)
    reader.rounds(1_200)
    assert 4 <= reader.fetching.failing[B].tries <= 9
    assert reader.consumer.paused == {B}


def test_an_offset_that_the_log_does_not_hold_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(logs(0, 0), monkeypatch)
    reader.consumer.seek(A, 7)
    with pytest.raises(OffsetOutOfRangeError):
        reader.rounds(1)


def test_one_that_has_much_to_read_leaves_the_others_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fetching, "FETCH_BYTES", 4)
    reader = Reader(logs(0, 20, corrupt_in_b=12), monkeypatch)
    for _ in range(60):
        reader.consumer.logs[A].append(*[b"x"] * 5)
        reader.rounds(1)
    assert reader.got[B] == list(range(12))
    assert len(reader.got[A]) > 200


def test_a_failing_partition_is_read_in_bounds_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FETCH_BYTES", 4)
    reader = Reader(logs(0, 20, corrupt_in_b=12), monkeypatch)
    before = 0
    for _ in range(40):
        reader.rounds(1, seconds_each=2)
        assert len(reader.got[B]) - before <= 4
        before = len(reader.got[B])
    assert before == 12
