"""A batch keeps its bounds, and knows where each of its readings came from."""

from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition

from ingest_worker.write.batch import Batch
from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder, split_record
from schemas.streams.times import clock_limits
from tests.readings import array_value, meter_value
from tests.sinks import Record

NOW = datetime(2026, 2, 1, tzinfo=UTC)
METERS, VEHICLES = TopicPartition("m", 0), TopicPartition("v", 3)
OTHER_METERS = TopicPartition("m", 1)


def reading(device: str, second: int = 0) -> bytes:
    return meter_value(device, datetime(2026, 1, 31, 12, 0, second, tzinfo=UTC))


def new_batch(max_readings: int = 100, max_bytes: int = 10**6) -> Batch:
    return Batch(
        {"m": Decoder(METER), "v": Decoder(VEHICLE)},
        max_readings=max_readings,
        max_bytes=max_bytes,
        limits=lambda: clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=0),
    )


def test_a_record_is_never_split_and_a_larger_one_goes_alone() -> None:
    records = [Record(5, reading("A")), Record(6, array_value(*[reading("B")] * 3)), Record(7, b"")]
    batch = new_batch(max_readings=3)
    assert batch.add(METERS, 5, records) == 1
    assert batch.full
    assert batch.parts[METERS].end == 6
    batch = new_batch(max_readings=2)
    assert batch.add(METERS, 6, records[1:]) == 1
    assert batch.readings == 3
    assert batch.full


def test_bytes_are_bounded_too() -> None:
    batch = new_batch(max_bytes=150)
    assert batch.add(METERS, 0, [Record(n, reading("A", n)) for n in range(5)]) == 2


def test_a_part_starts_at_the_position_even_after_a_gap() -> None:
    batch = new_batch()
    batch.add(METERS, 3, [Record(7, reading("A"))])
    batch.add(METERS, 8, [Record(8, reading("B"))])
    part = batch.parts[METERS]
    assert (part.start, part.end, part.readings) == (3, 9, 2)
    assert part.first and part.first.offset == 7
    assert part.last and part.last.offset == 8


def test_every_row_knows_its_record_and_place() -> None:
    batch = new_batch()
    first = Record(10, array_value(reading("A"), b"null", reading("B")))
    second = Record(11, reading("C"))
    third = Record(12, array_value(reading("D"), reading("E")))
    batch.add(METERS, 10, [first, second, Record(13, b"x"), third])
    part = batch.parts[METERS]
    assert [row[-1] for row in part.rows] == ["A", "B", "C", "D", "E"]
    assert [part.origin(row) for row in range(5)] == [
        (first, 0),
        (first, 2),
        (second, 0),
        (third, 0),
        (third, 1),
    ]
    assert [(r.offset, j.place, j.reason) for r, j in part.rejected] == [
        (10, 1, "invalid"),
        (13, None, "malformed"),
    ]
    record, rejection = part.reject(1, "conflict", "differs")
    assert (record, rejection.place, rejection.raw) == (first, 2, reading("B"))
    assert rejection.device_id == "B"


def test_parts_are_told_apart_by_stream() -> None:
    batch = new_batch()
    batch.add(VEHICLES, 0, [Record(0, b"")])
    batch.add(METERS, 0, [Record(0, reading("A"))])
    batch.add(OTHER_METERS, 0, [Record(0, reading("B"))])
    partitions = {
        name: [part.partition for part in parts] for name, parts in batch.by_stream().items()
    }
    assert partitions == {"meter": [METERS, OTHER_METERS], "vehicle": [VEHICLES]}


def test_the_clock_is_asked_whenever_readings_are_added() -> None:
    now = NOW - timedelta(days=2)
    batch = Batch(
        {"m": Decoder(METER)},
        max_readings=100,
        max_bytes=10**6,
        limits=lambda: clock_limits(now, max_age_days=730, retention_days=0, max_skew_seconds=0),
    )
    batch.add(METERS, 0, [Record(0, reading("A"))])
    now = NOW
    batch.add(METERS, 1, [Record(1, reading("A", 1))])
    part = batch.parts[METERS]
    assert [rejection.reason for _, rejection in part.rejected] == ["in_future"]
    assert len(part.rows) == 1


def test_a_record_is_split_once_however_many_of_its_rows_are_rejected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    split: list[bytes] = []

    def watched(value: bytes) -> list[bytes]:
        split.append(value)
        return split_record(value)

    monkeypatch.setattr("ingest_worker.write.batch.split_record", watched)
    value = array_value(*(reading("A", second) for second in range(5)))
    batch = new_batch()
    batch.add(METERS, 0, [Record(0, value)])
    part = batch.parts[METERS]
    rejections = [part.reject(row, "conflict", "differs")[1] for row in range(5)]
    assert [rejection.raw for rejection in rejections] == split_record(value)
    assert split == [value]
