"""A part that is cut short before its first reading of a day: what precedes it stays as it was."""

import json

import pytest

from ingest_worker.write.batch import Part
from ingest_worker.write.cutting import cut_before
from schemas.streams.times import DAY_US, to_micros
from tests.unit.loop.fake_consumer import FakeRecord
from tests.unit.loop.readings import METERS, NOW, rules

TODAY = to_micros(NOW) // DAY_US - 1


def reading(days_ago: int = 0) -> bytes:
    time = f"2026-01-{31 - days_ago}T12:00:00Z"
    return json.dumps(
        {"meterId": "A", "kwhConsumedAc": 1, "voltage": 2, "timestamp": time}
    ).encode()


def part_of(*values: bytes, start: int = 0, first: int = 0) -> Part:
    """A part from `start` on whose records have offsets from `first` on."""
    batch = rules().new_batch()
    records = [FakeRecord(first + n, value) for n, value in enumerate(values)]
    batch.add(METERS, start, records)
    return batch.parts[METERS]


def test_a_part_without_readings_of_the_day_stays_as_it_is() -> None:
    part = part_of(reading(), reading(1))
    assert cut_before(part, {TODAY - 2}) is part


@pytest.mark.parametrize("first", [0, 5])
def test_nothing_is_left_when_the_first_record_has_one(first: int) -> None:
    assert cut_before(part_of(reading(2), reading(), first=first), {TODAY - 2}) is None


@pytest.mark.parametrize(
    ("values", "end", "rows", "rejected"),
    [
        ([reading(), reading(1), reading(2), reading(), b"junk"], 2, 2, 0),
        ([reading(), b"junk", reading(2), reading(), b"junk"], 2, 1, 1),
        ([b"junk", reading(2)], 1, 0, 1),
        ([b"[%b,null,%b]" % (reading(), reading()), b"[%b,%b]" % (reading(), reading(2))], 1, 2, 1),
        ([b"[%b,%b]" % (reading(), reading(1)), reading(), reading(2)], 2, 3, 0),
    ],
    ids=["singles", "a rejection before it", "only a rejection before it", "arrays", "of both"],
)
def test_whole_records_before_it_are_kept(
    values: list[bytes], end: int, rows: int, rejected: int
) -> None:
    part = part_of(*values)
    read = part.readings
    before = cut_before(part, {TODAY - 2})
    assert before
    assert (before.start, before.end, len(before.rows), len(before.rejected)) == (
        0,
        end,
        rows,
        rejected,
    )
    assert before.last and before.last.offset == end - 1
    assert before.days() <= {TODAY, TODAY - 1}
    for row in range(rows):
        assert before.origin(row) == part.origin(row)
    assert part.readings == read, "the whole part is as it was"
    rest = part_of(*values[end:], start=end, first=end)
    assert before.readings + rest.readings == read


def test_offsets_without_a_record_are_read_again() -> None:
    part = part_of(reading(), start=3, first=7)
    part.records.append(FakeRecord(20, reading(2)))
    part.first_rows.append(1)
    part.rows += part_of(reading(2)).rows
    before = cut_before(part, {TODAY - 2})
    assert before
    assert (before.start, before.end) == (3, 8)
