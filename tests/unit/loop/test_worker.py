"""The loop over a consumer and a sink in memory: what it writes, drops and recovers from."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata

from ingest_worker import metrics
from ingest_worker.errors import FencedError, InDoubtError, LostPositionError
from ingest_worker.health import Status
from ingest_worker.loop import worker as worker_module
from ingest_worker.loop.claims import claim_of
from ingest_worker.loop.held_positions import HeldPositions
from ingest_worker.loop.membership import Membership
from ingest_worker.loop.source import Fetched, Source
from ingest_worker.loop.worker import Worker
from ingest_worker.write.batch import LARGE_RECORD_BYTES
from ingest_worker.write.ledger import Position
from schemas.streams import METER
from schemas.streams.decoder import Decoder
from schemas.streams.times import ClockLimits
from tests.unit.loop.fake_consumer import FakeConsumer, FakeLog
from tests.unit.loop.fake_sink import FakeSink
from tests.unit.loop.readings import (
    CHARGERS,
    DECODERS,
    LATE_DAY,
    LATE_READING,
    METER_READING,
    METERS,
    MORE_METERS,
    VEHICLES,
    rules,
)

PATIENCE_S = 5.0
OURS, THEIRS = (f"00000000-0000-0000-0000-00000000000{digit}" for digit in "12")


class Running:
    """A worker on three logs, and what it has moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("FIRST_RETRY_S", "IDLE_FETCH_S", "NEXT_FETCH_S"):
            monkeypatch.setattr(worker_module, name, 0.001)
        monkeypatch.setattr("ingest_worker.loop.writing.FIRST_RETRY_S", 0.001)
        monkeypatch.setattr("ingest_worker.loop.fetching.EMPTY_FETCH_PAUSE_S", 0.001)
        self.logs = {partition: FakeLog() for partition in (METERS, VEHICLES, CHARGERS)}
        self.consumer = FakeConsumer(self.logs)
        self.source = Source(Membership(lambda: self.consumer, ["m", "v", "c"]))
        self.sink = FakeSink()
        others = {name: FakeSink(self.sink.table) for name in ("vehicle", "charger")}
        self.positions = HeldPositions()
        self.status = Status()
        self.stopping = asyncio.Event()
        self.worker = Worker(
            self.source,
            {"meter": self.sink, **others},
            rules(flush_interval_s=0.01),
            self.positions,
            self.status,
            self.stopping,
        )

    @asynccontextmanager
    async def loop(self) -> AsyncIterator[asyncio.Task[None]]:
        """The worker runs until the end of the block, or until it fails."""
        running = asyncio.create_task(self.worker.run())
        try:
            yield running
        finally:
            self.stopping.set()
            await asyncio.wait_for(running, PATIENCE_S)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until the condition holds; fails when it does not come to hold."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    async def until_all_is_written(self) -> None:
        """Wait until the positions stand at the ends of the logs that are not stopped."""
        await self.until(
            lambda: (
                len(self.sink.table) == len(self.logs)
                and all(
                    position.stopped or position.next_offset == self.logs[partition].end
                    for partition, position in self.sink.table.items()
                )
            )
        )

    def written_offsets(self) -> list[int]:
        """The offsets of the meters' records in the order of their transactions."""
        return [
            record.offset
            for parts in self.sink.flushed
            for part in parts
            if part.partition == METERS
            for record in part.records
        ]


def takeovers(cause: str) -> float:
    return float(metrics.TAKEOVERS.labels(cause)._value.get())


def test_what_comes_in_is_written_and_acknowledged_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        for log in case.logs.values():
            log.append(METER_READING, METER_READING)
        async with case.loop():
            await case.until_all_is_written()
            case.logs[METERS].append(METER_READING)
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1, 2]
        assert case.consumer.acknowledged == {METERS: 3, VEHICLES: 2, CHARGERS: 2}
        assert case.sink.closed

    asyncio.run(story())


def test_the_end_of_a_log_without_records_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING)
        case.logs[METERS].skip(3)
        async with case.loop():
            await case.until_all_is_written()
        assert case.positions.committed[METERS] == 4

    asyncio.run(story())


@pytest.mark.parametrize(
    "error",
    [
        FencedError("elsewhere"),
        InDoubtError("held too long"),
        psycopg.OperationalError("away"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_after_an_error_of_a_write_everything_is_written_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING, METER_READING)
        case.sink.failures = [error]
        async with case.loop():
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1]

    asyncio.run(story())


def test_a_fenced_batch_is_dropped_and_the_positions_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        fenced = takeovers("FencedError")
        case.logs[METERS].append(*[METER_READING] * 5)
        case.sink.may_flush.clear()
        async with case.loop():
            await case.until(lambda: case.positions.moving)
            case.sink.table[METERS] = case.sink.table[METERS]._replace(next_offset=3)
            case.sink.may_flush.set()
            await case.until_all_is_written()
        assert case.written_offsets() == [3, 4]
        assert takeovers("FencedError") == fenced + 1

    asyncio.run(story())


def test_after_errors_of_fetches_everything_is_written_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING, METER_READING)
        case.consumer.failures = [KafkaConnectionError(), KafkaConnectionError()]
        async with case.loop():
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1]

    asyncio.run(story())


@pytest.mark.parametrize(
    "error",
    [KafkaConnectionError("away"), psycopg.OperationalError("away")],
    ids=["kafka", "database"],
)
def test_positions_that_cannot_be_read_are_tried_again_and_reported(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING)
        reported = []
        monkeypatch.setattr(
            case.status, "waits", lambda name, why, **_: reported.append((name, why))
        )
        take, failures = case.sink.take, [error] * 3

        def failing_take(starts: dict[TopicPartition, int]) -> dict[TopicPartition, Position]:
            if failures:
                raise failures.pop()
            return take(starts)

        monkeypatch.setattr(case.sink, "take", failing_take)
        async with case.loop():
            await case.until_all_is_written()
        assert len(reported) == 3
        assert reported[0][0] == ("kafka" if type(error) is KafkaConnectionError else "database")
        assert case.written_offsets() == [0]

    asyncio.run(story())


def test_a_position_that_is_lost_stops_its_partition_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        fetch = case.source.fetch
        lost = [LostPositionError(METERS, 0, "the topic was created anew")]

        async def losing_fetch(wait_s: float) -> Fetched:
            if lost:
                raise lost.pop()
            return await fetch(wait_s)

        monkeypatch.setattr(case.source, "fetch", losing_fetch)
        case.logs[METERS].append(METER_READING)
        case.logs[VEHICLES].append(METER_READING)
        async with case.loop():
            await case.until_all_is_written()
        assert case.sink.stopped == [(METERS, 0, "the topic was created anew")]
        assert case.written_offsets() == []
        assert case.positions.committed == {VEHICLES: 1, CHARGERS: 0}
        assert case.status.ready()[1]["reasons"] == {
            "m-0": "stopped at 0: the topic was created anew"
        }

    asyncio.run(story())


def test_a_doubt_has_the_batches_dropped_and_the_positions_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING, METER_READING)
        doubts = takeovers("doubt")
        async with case.loop():
            await case.until_all_is_written()
            case.sink.table[METERS] = case.sink.table[METERS]._replace(next_offset=1)
            case.positions.raise_doubt("an operator set a position")
            await case.until(lambda: case.sink.takes == 2)
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1, 1]
        assert takeovers("doubt") == doubts + 1
        assert case.positions.doubt is None

    asyncio.run(story())


def test_a_collected_batch_is_not_written_once_there_is_a_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING)
        case.sink.may_flush.clear()
        async with case.loop():
            await case.until(case.sink.flushing.is_set)
            case.logs[METERS].append(METER_READING)
            await case.until(lambda: case.worker._next[METERS] == 2)
            case.positions.raise_doubt("an operator set a position")
            case.sink.may_flush.set()
            await case.until(lambda: case.sink.takes == 2)
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1]
        assert len(case.sink.flushed) == 2

    asyncio.run(story())


@pytest.mark.parametrize("behind", [0, 2_500], ids=["idle", "busy"])
def test_a_day_that_gets_no_partition_holds_up_only_what_is_behind_its_readings(
    monkeypatch: pytest.MonkeyPatch, behind: int
) -> None:
    """Its partition is read on once the day has one; nothing is lost, skipped or written twice."""

    async def story() -> None:
        monkeypatch.setattr("ingest_worker.loop.holding_back.FIRST_PAUSE_S", 0.001)
        monkeypatch.setattr("ingest_worker.loop.holding_back.LAST_PAUSE_S", 0.002)
        case = Running(monkeypatch)
        case.consumer.logs[MORE_METERS] = case.logs[MORE_METERS] = FakeLog()
        case.sink.unavailable = {LATE_DAY: "history has no partition for 2025-06-05: locked"}
        meters, others = case.logs[METERS], case.logs[MORE_METERS]
        meters.append(METER_READING, b"junk", LATE_READING, *[METER_READING] * (1 + behind))
        others.append(*[METER_READING] * (1 + behind))
        async with case.loop():
            await case.until(lambda: case.positions.committed.get(MORE_METERS) == others.end)
            await case.until(lambda: case.positions.committed[METERS] == 2)
            reasons = case.status.ready()[1]["reasons"]
            assert reasons == {"m-0": "waits at 2: history has no partition for 2025-06-05: locked"}
            others.append(METER_READING, METER_READING)
            await case.until(lambda: case.positions.committed[MORE_METERS] == others.end)
            assert case.positions.committed[METERS] == 2
            assert case.sink.takes == 1, "no takeover was needed"
            case.sink.unavailable = {}
            await case.until_all_is_written()
            await case.until(lambda: case.status.ready()[1]["reasons"] == {})
        offsets = case.written_offsets()
        assert offsets == [0, *range(2, meters.end)]

    asyncio.run(story())


def test_a_rest_that_is_held_back_is_forgotten_when_the_positions_are_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        monkeypatch.setattr("ingest_worker.loop.holding_back.FIRST_PAUSE_S", 1_000.0)
        case = Running(monkeypatch)
        case.sink.unavailable = {LATE_DAY: "locked"}
        case.logs[METERS].append(METER_READING, LATE_READING, METER_READING)
        async with case.loop():
            await case.until(lambda: METERS in case.consumer.paused)
            case.sink.unavailable = {}
            case.positions.raise_doubt("an operator set a position")
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1, 2]

    asyncio.run(story())


def test_a_rebalance_leaves_only_the_partitions_that_are_held_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        async with case.loop():
            await case.until_all_is_written()
            case.consumer.rebalance([VEHICLES])
            await case.until(lambda: case.positions.committed == {VEHICLES: 0})
            case.logs[METERS].append(METER_READING)
            case.logs[VEHICLES].append(METER_READING)
            await case.until(lambda: case.sink.table[VEHICLES].next_offset == 1)
        assert case.written_offsets() == []
        assert case.consumer.acknowledged.get(METERS, 0) == 0

    asyncio.run(story())


def test_the_batch_that_is_being_written_at_the_end_is_finished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING)
        case.sink.may_flush.clear()
        async with case.loop():
            await case.until(case.sink.flushing.is_set)
            case.stopping.set()
            case.sink.may_flush.set()
        assert case.written_offsets() == [0]
        assert case.consumer.acknowledged[METERS] == 1

    asyncio.run(story())


def test_an_unforeseen_error_of_a_write_ends_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.logs[METERS].append(METER_READING)
        case.sink.failures = [ValueError("a bug")]
        await asyncio.wait_for(case.worker.run(), PATIENCE_S)

    with pytest.raises(ValueError, match="a bug"):
        asyncio.run(story())


def test_an_acknowledge_that_fails_is_logged_and_counted_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = metrics.SIDE_TASK_FAILURES.labels("acknowledge")._value.get

    async def story() -> None:
        case = Running(monkeypatch)
        monkeypatch.setattr(worker_module, "ACKNOWLEDGE_EVERY_S", 0.0)
        before = failed()

        async def fail(*_: object) -> None:
            raise ValueError("a bug")

        monkeypatch.setattr(case.source.group, "acknowledge", fail)
        case.logs[METERS].append(METER_READING)
        async with case.loop():
            await case.until(lambda: failed() > before)
            await case.until_all_is_written()

    asyncio.run(story())
    assert "a bug" in caplog.text
    assert "Traceback" in caplog.text


def test_a_worker_that_is_kept_out_of_its_group_begins_anew_with_another_consumer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "ASK_AGAIN_AFTER_S", 0.001)

    async def story() -> None:
        case = Running(monkeypatch)
        first = case.consumer
        async with case.loop():
            await case.until_all_is_written()
            case.consumer = FakeConsumer(case.logs)
            case.consumer.kept_out = GroupAuthorizationFailedError("g")
            first.kept_out = GroupAuthorizationFailedError("g")
            await case.until(lambda: first.stopped)
            await case.until(lambda: case.consumer.stopped)
            assert "GroupAuthorizationFailedError" in str(case.source.group.kept_out)
            case.consumer = FakeConsumer(case.logs)
            case.logs[METERS].append(METER_READING)
            await case.until_all_is_written()
            assert case.source.group.kept_out is None
        assert case.written_offsets() == [0]

    asyncio.run(story())


def test_what_was_written_last_is_acknowledged_though_nothing_more_comes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_module, "ACKNOWLEDGE_EVERY_S", 0.01)

    async def story() -> None:
        case = Running(monkeypatch)
        async with case.loop():
            case.logs[METERS].append(METER_READING)
            await case.until(lambda: case.consumer.acknowledged.get(METERS) == 1)
            case.logs[METERS].append(METER_READING)
            await case.until(lambda: case.consumer.acknowledged.get(METERS) == 2)

    asyncio.run(story())


def test_a_partition_that_another_database_claims_is_stopped_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        case = Running(monkeypatch)
        case.source.group.identity = OURS
        case.consumer.group[METERS] = OffsetAndMetadata(7, claim_of(THEIRS))
        case.logs[METERS].append(METER_READING)
        async with case.loop():
            await case.until(lambda: VEHICLES in case.consumer.acknowledged)
            assert case.written_offsets() == []
            ((stopped, _, why),) = case.sink.stopped
            assert stopped == METERS
            assert THEIRS in why
            assert case.consumer.group[METERS] == OffsetAndMetadata(7, claim_of(THEIRS, OURS))
            assert case.consumer.group[VEHICLES].metadata == claim_of(OURS)
            assert list(case.status.ready()[1]["reasons"]) == ["m-0"]

            case.sink.table[METERS] = Position(0, None, None, None, claim_overridden=THEIRS)
            case.positions.raise_doubt("an operator set a position")
            await case.until_all_is_written()
        assert case.written_offsets() == [0]
        assert case.consumer.group[METERS] == OffsetAndMetadata(1, claim_of(OURS))
        assert case.sink.table[METERS].claim_overridden is None

    asyncio.run(story())


def test_a_large_record_is_decoded_beside_the_loop_and_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded: list[tuple[bool, bool]] = []

    class Watched(Decoder):
        def decode(self, value: bytes | None, limits: ClockLimits) -> Any:
            large = len(value or b"") > LARGE_RECORD_BYTES
            decoded.append((large, threading.current_thread() is threading.main_thread()))
            return super().decode(value, limits)

    monkeypatch.setitem(DECODERS, "m", Watched(METER))

    async def story() -> None:
        case = Running(monkeypatch)
        large = b"[" + METER_READING + b",0" * LARGE_RECORD_BYTES + b"]"
        case.logs[METERS].append(METER_READING, large, METER_READING, b"junk", large)
        async with case.loop():
            await case.until_all_is_written()
        assert case.written_offsets() == [0, 1, 2, 4]
        parts = [part for parts in case.sink.flushed for part in parts]
        rejected = [(record.offset, one.place) for part in parts for record, one in part.rejected]
        assert rejected == [(1, None), (3, None), (4, None)]

    asyncio.run(story())
    assert {large for large, in_loop in decoded if not in_loop} == {True}
    assert {large for large, in_loop in decoded if in_loop} == {False}
