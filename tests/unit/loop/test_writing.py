"""How a batch is written: which sink gets which part, and what happens when one fails."""

import asyncio

import psycopg
import pytest
from aiokafka import TopicPartition
from psycopg import errors

from ingest_worker.errors import FencedError, InDoubtError
from ingest_worker.health import Status
from ingest_worker.loop import writing
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.writing import BatchWriter
from ingest_worker.write.batch import Batch, Part
from sql.errors import SessionsLockedError
from tests.unit.loop.fake_consumer import FakeRecord
from tests.unit.loop.fake_sink import FakeSink
from tests.unit.loop.readings import CHARGERS, METERS, MORE_METERS, SESSIONS, VEHICLES, rules

ALL = [METERS, MORE_METERS, VEHICLES, CHARGERS]
STREAMS = ("meter", "vehicle", "charger")


def batch_of_all() -> Batch:
    """A batch with a part of each partition; what its readings hold does not matter here."""
    batch = rules().new_batch()
    for partition in ALL:
        batch.add(partition, 0, [FakeRecord(0, b"")])
    return batch


class Writing:
    """A writer with a sink for each of three streams, over one table of positions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, side_by_side: bool = False) -> None:
        monkeypatch.setattr(writing, "SIDE_BY_SIDE_FROM_READINGS", 1 if side_by_side else 1_000)
        monkeypatch.setattr(writing, "FIRST_RETRY_S", 0.001)
        first = FakeSink()
        first.take(dict.fromkeys(ALL, 0))
        others = {name: FakeSink(first.table) for name in STREAMS[1:]}
        self.sinks = {STREAMS[0]: first, **others}
        self.positions = HeldPositions()
        self.status = Status()
        self.interrupted = False
        self.writer = BatchWriter(self.sinks, self.positions, self.status, asyncio.Event())

    async def write(self) -> None:
        """Write a batch of all partitions."""
        self.writer.start(batch_of_all(), lambda: self.interrupted)
        await self.writer.finish()

    def flushed(self) -> dict[str, list[list[str]]]:
        """By sink: the streams of the parts of each transaction."""
        return {
            name: [[part.stream.name for part in parts] for parts in sink.flushed]
            for name, sink in self.sinks.items()
        }


def test_a_small_batch_goes_in_one_transaction(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Writing(monkeypatch)
    asyncio.run(case.write())
    together = [["meter", "meter", "vehicle", "charger"]]
    assert case.flushed() == {"meter": together, "vehicle": [], "charger": []}
    assert case.positions.committed == dict.fromkeys(ALL, 1)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_session_events_have_a_transaction_of_their_own_that_holds_up_no_reading(
    monkeypatch: pytest.MonkeyPatch, *, side_by_side: bool
) -> None:
    case = Writing(monkeypatch, side_by_side=side_by_side)
    events = case.sinks["session"] = FakeSink(case.sinks["meter"].table)
    events.take({SESSIONS: 0})
    events.failures = [SessionsLockedError("somebody")]

    async def write() -> dict[TopicPartition, int]:
        batch = batch_of_all()
        batch.add(SESSIONS, 0, [FakeRecord(0, b"")])
        case.writer.start(batch, lambda: False)
        return await case.writer.finish()

    assert asyncio.run(write()) == {SESSIONS: 0}
    assert case.positions.committed == dict.fromkeys(ALL, 1)
    assert case.status.ready()[1]["reasons"]["s-0"] == "waits at 0: somebody"


def test_a_large_batch_goes_through_the_sink_of_each_of_three_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Writing(monkeypatch, side_by_side=True)
    asyncio.run(case.write())
    assert case.flushed() == {
        "meter": [["meter", "meter"]],
        "vehicle": [["vehicle"]],
        "charger": [["charger"]],
    }
    assert case.positions.committed == dict.fromkeys(ALL, 1)


def test_a_stream_without_a_sink_is_noticed_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Writing(monkeypatch, side_by_side=True)
    del case.sinks["charger"]
    with pytest.raises(KeyError, match="charger"):
        asyncio.run(case.write())
    assert case.flushed() == {"meter": [], "vehicle": []}


def test_a_part_that_no_transaction_holds_is_noticed_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Writing(monkeypatch, side_by_side=True)
    by_stream = Batch.by_stream

    def lossy(batch: Batch) -> dict[str, list[Part]]:
        return {name: parts[-1:] for name, parts in by_stream(batch).items()}

    monkeypatch.setattr(Batch, "by_stream", lossy)
    with pytest.raises(AssertionError, match="not exactly the batch's parts"):
        asyncio.run(case.write())
    assert not any(case.flushed().values())


def test_an_outage_is_waited_out_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Writing(monkeypatch)
    reported: list[tuple[str, str]] = []
    waits = case.status.waits

    def noting(name: str, why: str, **_: object) -> None:
        reported.append((name, why))
        waits(name, why)

    monkeypatch.setattr(case.status, "waits", noting)
    case.sinks["meter"].failures = [psycopg.OperationalError("away"), errors.DeadlockDetected()]
    asyncio.run(case.write())
    assert reported == [("database", "OperationalError: away")]
    assert "database" not in case.status.ready()[1]["reasons"]
    assert case.positions.committed == dict.fromkeys(ALL, 1)


def test_a_fenced_transaction_keeps_no_other_from_being_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Writing(monkeypatch, side_by_side=True)
    case.sinks["vehicle"].failures = [FencedError("elsewhere")]
    with pytest.raises(FencedError):
        asyncio.run(case.write())
    assert case.positions.committed == dict.fromkeys([METERS, MORE_METERS, CHARGERS], 1)
    assert not case.positions.moving


def test_a_batch_is_given_up_when_it_is_interrupted_between_two_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Writing(monkeypatch)
    case.interrupted = True
    with pytest.raises(InDoubtError, match="dropped"):
        asyncio.run(case.write())
    assert not any(case.flushed().values())


def test_a_batch_that_was_held_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Writing(monkeypatch)
    monkeypatch.setattr(writing, "MAX_BATCH_AGE_S", 0.0)
    case.sinks["meter"].failures = [psycopg.OperationalError("away")] * 3
    with pytest.raises(InDoubtError, match="too long"):
        asyncio.run(case.write())
    assert not any(case.flushed().values())


def test_positions_are_moving_while_a_flush_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Writing(monkeypatch)
    sink = case.sinks["meter"]

    async def story() -> None:
        sink.may_flush.clear()
        case.writer.start(batch_of_all(), lambda: False)
        assert case.writer.busy
        await asyncio.sleep(0)
        assert case.positions.moving
        sink.may_flush.set()
        await case.writer.finish()
        assert (case.positions.moving, case.writer.busy, case.writer.failed) == (False,) * 3

    asyncio.run(story())


@pytest.mark.parametrize("cut_off", ["flush deadline", "end"])
def test_a_flush_that_hangs_is_cut_off(monkeypatch: pytest.MonkeyPatch, cut_off: str) -> None:
    case = Writing(monkeypatch)
    sink = case.sinks["meter"]
    sink.may_flush.clear()
    if cut_off == "flush deadline":
        monkeypatch.setattr(writing, "FLUSH_DEADLINE_S", 0.001)
        asyncio.run(case.write())
    else:

        async def story() -> None:
            case.writer.start(batch_of_all(), lambda: False)
            await case.writer.abandon(0.001)

        asyncio.run(story())
    assert sink.aborted
