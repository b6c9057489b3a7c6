"""A partition that fails holds up no others."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError

from ingest_worker.loop import fetching
from ingest_worker.loop.fetching import Fetching

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


@dataclass
class At:
    offset: int


@dataclass
class Broker:
    """Hands out records in order, as aiokafka's consumer does; some of them are corrupt."""

    logs: dict[TopicPartition, list[int]]
    corrupt: set[tuple[TopicPartition, int]] = field(default_factory=set)
    at: dict[TopicPartition, int] = field(default_factory=lambda: {A: 0, B: 0})
    paused: set[TopicPartition] = field(default_factory=set)
    empty_answers: int = 0
    """So many fetches come back before there is an answer."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[At]]:
        if self.empty_answers:
            self.empty_answers -= 1
            return {}
        fetched = {}
        for partition in partitions:
            if partition not in self.paused:
                records = list(self._take(partition, max_records))
                if records:
                    fetched[partition] = records
        return fetched

    def _take(self, partition: TopicPartition, count: int) -> Iterator[At]:
        for offset in self.logs[partition][self.at[partition] :][:count]:
            if (partition, offset) in self.corrupt:
                raise CorruptRecordException
            self.at[partition] = offset + 1
            yield At(offset)

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.at[partition] = offset

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)

    def resume(self, partition: TopicPartition) -> None:
        self.paused.discard(partition)


class Reader:
    """Fetches and keeps what it got, as a source does."""

    def __init__(self, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
        self._now = 100.0
        monkeypatch.setattr("ingest_worker.loop.fetching.time.monotonic", lambda: self._now)
        monkeypatch.setattr(fetching, "LOOK_AROUND_S", 0)
        self.broker = broker
        self.got: dict[TopicPartition, list[int]] = {A: [], B: []}
        self.fetching = Fetching(broker, self._seek_back)
        self.fetching.begin([A, B])

    def _seek_back(self, *partitions: TopicPartition) -> None:
        for partition in partitions:
            self.broker.seek(partition, len(self.got[partition]))

    def rounds(self, count: int, *, seconds_each: float = 0.1) -> None:
        for _ in range(count):
            fetched = asyncio.run(self.fetching.fetch(0))
            for partition, records in fetched.items():
                self.got[partition] += [record.offset for record in records]
            self._now += seconds_each


def test_the_others_go_on_and_what_comes_before_the_failing_place_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(Broker({A: list(range(10)), B: list(range(10))}, {(B, 5)}), monkeypatch)
    reader.rounds(3)
    assert reader.got[A] == list(range(10))
    assert list(reader.fetching.ailing) == [B]
    assert "CorruptRecord" in reader.fetching.ailing[B].why
    reader.rounds(100)
    assert reader.got[B] == list(range(5))
    reader.broker.logs[A].append(10)
    reader.rounds(1)
    assert reader.got[A] == list(range(11))


def test_what_heals_is_read_on_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Broker({A: list(range(10)), B: list(range(10))}, {(B, 5)}), monkeypatch)
    reader.rounds(50)
    reader.broker.corrupt.clear()
    reader.rounds(100, seconds_each=1)
    assert reader.got == {A: list(range(10)), B: list(range(10))}
    assert reader.fetching.ailing == {}


def test_the_search_outlasts_answers_that_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Broker({A: list(range(10)), B: list(range(10))}, {(B, 0)}), monkeypatch)
    reader.rounds(1)
    reader.broker.empty_answers = 20
    reader.rounds(30)
    assert reader.got[A] == list(range(10))
    assert list(reader.fetching.ailing) == [B]


def test_a_failing_partition_is_tried_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(Broker({A: [], B: [0]}, {(B, 0)}), monkeypatch)
    reader.rounds(1_200)
    assert 4 <= reader.fetching.ailing[B].tries <= 9
    assert reader.broker.paused == {B}


def test_a_place_the_log_does_not_hold_is_not_for_fetching_to_mend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = Reader(Broker({A: [], B: []}), monkeypatch)

    async def nowhere(*_: TopicPartition, **__: int) -> None:
        raise OffsetOutOfRangeError({A: 7})

    monkeypatch.setattr(reader.broker, "getmany", nowhere)
    with pytest.raises(OffsetOutOfRangeError):
        reader.rounds(1)
