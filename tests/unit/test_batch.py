"""A batch keeps its bounds, and knows where each of its readings came from."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import TopicPartition

from ingest_worker.write.batch import (
    LARGE_RECORD_BYTES,
    MAX_EVENTS,
    Batch,
    OversizedRecord,
    Refusal,
)
from ingest_worker.write.batch import Record as AnyRecord
from schemas.session_events import EventDecoder
from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.pieces import readings_of
from schemas.streams.rejection import MAX_BAD_READINGS, Rejection
from schemas.streams.times import clock_limits
from tests.readings import array_value, meter_value
from tests.sinks import Record

NOW = datetime(2026, 2, 1, tzinfo=UTC)
MAX_RECORD_BYTES = 2_000_000
METERS, VEHICLES = TopicPartition("m", 0), TopicPartition("v", 3)
OTHER_METERS = TopicPartition("m", 1)


def reading(device: str, second: int = 0) -> bytes:
    return meter_value(device, datetime(2026, 1, 31, 12, 0, second, tzinfo=UTC))


def new_batch(max_readings: int = 100, max_bytes: int = 10**6) -> Batch:
    return Batch(
        {"m": Decoder(METER), "v": Decoder(VEHICLE), "s": EventDecoder()},
        max_readings=max_readings,
        max_bytes=max_bytes,
        max_record_bytes=MAX_RECORD_BYTES,
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
    *decoded, (record, rejection) = part.rejections({1: Refusal("conflict", "differs")})
    assert decoded == part.rejected
    assert (record, rejection.place, rejection.raw) == (first, 2, reading("B"))
    assert rejection[1:3] == ("conflict", "differs")
    assert rejection.device_id == "B"


def test_a_batch_is_full_of_session_events_long_before_it_is_full_of_readings() -> None:
    batch = new_batch(max_readings=10**6)
    records = [Record(n, b"junk") for n in range(MAX_EVENTS + 1)]
    events = TopicPartition("s", 0)
    assert batch.add(events, 0, records) == MAX_EVENTS
    assert batch.turns_away(events)
    assert not batch.turns_away(METERS)
    assert batch.add(events, MAX_EVENTS, records[MAX_EVENTS:]) == 0
    assert batch.add(METERS, 0, [Record(0, reading("A"))]) == 1


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
        max_record_bytes=MAX_RECORD_BYTES,
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
    split: list[bytes | None] = []

    def watched(value: bytes | None) -> Iterator[bytes]:
        split.append(value)
        return readings_of(value)

    monkeypatch.setattr("ingest_worker.write.batch.readings_of", watched)
    value = array_value(*(reading("A", second) for second in range(5)))
    batch = new_batch()
    batch.add(METERS, 0, [Record(0, value)])
    part = batch.parts[METERS]
    refused = dict.fromkeys(range(5), Refusal("conflict", "differs"))
    assert [one.raw for _, one in part.rejections(refused)] == list(readings_of(value))
    assert split == [value]


def only_rejection(batch: Batch) -> Rejection:
    ((_, rejection),) = batch.parts[METERS].rejected
    return rejection


@pytest.mark.parametrize("size", [MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1])
def test_a_record_larger_than_the_bound_is_not_looked_into(size: int) -> None:
    good = reading("A")
    batch = new_batch(max_bytes=10**8)
    records = [Record(0, good), Record(1, good + b" " * (size - len(good))), Record(2, good)]
    taken = 0
    while taken < len(records):
        taken += batch.add(METERS, taken, records[taken:])
    part = batch.parts[METERS]
    assert part.end == 3
    if size == MAX_RECORD_BYTES:
        assert (len(part.rows), part.rejected) == (3, [])
        return
    assert len(part.rows) == 2
    place, reason, detail, raw, device_id, true_size, *_ = only_rejection(batch)
    assert (place, reason, device_id, true_size, len(raw)) == (None, "malformed", None, size, size)
    assert "2,000,001 bytes" in detail
    assert "2,000,000" in detail


def test_the_beginning_of_an_oversized_record_is_never_taken_for_a_reading() -> None:
    batch = new_batch()
    records: list[AnyRecord] = [Record(0, reading("A"))]
    records += [OversizedRecord(1, 0, reading("B"), 600_000_000)]
    assert batch.add(METERS, 0, records) == 2
    rejection = only_rejection(batch)
    assert (rejection.place, rejection.reason, rejection.raw) == (None, "malformed", reading("B"))
    assert rejection.size == 600_000_000
    assert "600,000,000 bytes" in rejection.detail
    assert [row[-1] for row in batch.parts[METERS].rows] == ["A"]


def test_a_large_record_is_left_to_be_decoded_by_itself() -> None:
    large = b"[" + b"0," * LARGE_RECORD_BYTES + b"0]"
    records = [Record(0, reading("A")), Record(1, large), Record(2, reading("B"))]
    batch = new_batch(max_bytes=10**8)
    assert batch.add(METERS, 0, records) == 1
    assert batch.add(METERS, 1, records[1:]) == 2
    assert batch.readings == 3


def test_decoding_stops_when_its_time_is_over_but_never_before_the_first_record() -> None:
    records = [Record(n, b"junk") for n in range(10)]
    batch = new_batch()
    for number in range(10):
        assert batch.add(METERS, number, records[number:], within_s=0.0) == 1
    assert batch.readings == 10


def test_the_bytes_of_rejected_readings_count_too() -> None:
    batch = new_batch(max_bytes=1_000)
    assert batch.add(METERS, 0, [Record(n, b"x" * 100) for n in range(20)]) == 5
    assert batch.full


def test_too_many_bad_readings_of_one_record_count_as_one_whoever_finds_them() -> None:
    seconds = MAX_BAD_READINGS // 2
    times = [datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=n) for n in range(seconds + 1)]
    good = [meter_value("A", time) for time in times]
    record = Record(0, array_value(*good, *[b"null"] * seconds))
    other = Record(1, array_value(reading("B"), b"null"))
    batch = new_batch(max_readings=10**6, max_bytes=10**8)
    taken = batch.add(METERS, 0, [record])
    batch.add(METERS, taken, [other])
    part = batch.parts[METERS]
    assert len(part.rejected) == seconds + 1
    conflicts = dict.fromkeys(range(seconds), Refusal("conflict", "differs"))
    assert len(part.rejections(conflicts)) == 2 * seconds + 1
    (_, kept), (at, folded) = part.rejections(conflicts | {seconds: Refusal("refused", "no")})
    assert (kept.place, kept.raw) == (1, b"null")
    assert at is record
    assert (folded.place, folded.reason, folded.raw) == (None, "malformed", record.value)
    assert folded.detail == (
        "10,001 of its 10,001 readings are bad, which count as one;"
        " the first, [0]: conflict: differs"
    )


def test_what_is_refused_of_a_record_with_too_many_bad_readings_joins_them() -> None:
    record = Record(0, array_value(reading("A"), reading("B"), *[b"null"] * (MAX_BAD_READINGS + 1)))
    batch = new_batch(max_readings=10**6)
    batch.add(METERS, 0, [record])
    part = batch.parts[METERS]
    assert (len(part.rows), part.readings) == (2, 3)
    ((_, folded),) = part.rejections({1: Refusal("conflict", "differs")})
    assert folded.place is None
    assert folded.detail.startswith("10,001 of its 10,003 readings are bad")
    assert folded.detail.endswith("1 more are bad, the first conflict: differs")
