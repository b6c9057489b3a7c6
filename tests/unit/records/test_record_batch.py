"""A batch that is read in pieces gives the records that aiokafka gives, save those too large."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.codec import gzip_encode
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch

from ingest_worker.records.record_batch import Bounds, PlainRecord, Unfinished, records_of
from ingest_worker.write.batch import OversizedRecord
from tests.batches import CODECS, FIRST_MS, Sent, batch, old_batch, packed_anew, with_append_time

BOUNDS = Bounds(max_bytes=100_000, kept_bytes=1000)
SENT = [
    Sent(b"one", b"key"),
    Sent(None, b"tombstone"),
    Sent(b"", None, [("trace", b"1" * 300), ("nothing", None)]),
    Sent(random.Random(3).randbytes(90_000)),
    Sent(b"last", b"k" * 200_000),
]
BOMB = b"[" + b"0," * 3_000_000


def read(
    raw: bytes, start: int = 0, *, bounds: Bounds = BOUNDS, impatient: bool = False
) -> list[Any]:
    records: Iterator[Any] = records_of(raw, start, bounds, lambda: impatient)
    return [record for record in records if not isinstance(record, Unfinished)]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("impatient", [False, True])
def test_the_records_are_those_of_aiokafka(codec: int, impatient: bool) -> None:
    plain = batch(codec, SENT, 1000)
    for raw in (plain, with_append_time(plain, FIRST_MS + 60_000)):
        expected = [PlainRecord(r.offset, r.timestamp, r.value) for r in DefaultRecordBatch(raw)]
        assert read(raw, impatient=impatient) == expected
        assert read(raw, 1003, impatient=impatient) == expected[3:]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
@pytest.mark.parametrize("impatient", [False, True])
def test_a_record_too_large_is_cut_and_its_neighbours_are_whole(
    codec: int, impatient: bool
) -> None:
    raw = batch(codec, [Sent(b"before"), Sent(BOMB, b"k"), Sent(b"after")], 5)
    cut = OversizedRecord(6, FIRST_MS + 1, BOMB[:1000], len(BOMB))
    before, after = PlainRecord(5, FIRST_MS, b"before"), PlainRecord(7, FIRST_MS + 2, b"after")
    assert read(raw, impatient=impatient) == [before, cut, after]
    assert read(raw, 7, impatient=impatient) == [after]


def test_the_bound_itself_fits() -> None:
    raw = batch(CODECS["zstd"], [Sent(b"x" * 10), Sent(b"x" * 11)])
    whole, cut = read(raw, bounds=Bounds(10, 3))
    assert whole.value == b"x" * 10
    assert (cut.value, cut.size) == (b"xxx", 11)


def test_long_work_is_done_by_turns() -> None:
    raw = batch(CODECS["gzip"], [Sent(BOMB)])
    turns = list(records_of(raw, 0, BOUNDS, lambda: True))
    assert len(turns) > 4
    assert [type(turn) for turn in turns[:-1]].count(Unfinished) == len(turns) - 1


@pytest.mark.parametrize(
    "spoil", ["cut off", "goes on", "a record too long", "a number without end"]
)
def test_a_corrupt_batch_is_an_error(spoil: str) -> None:
    whole = batch(CODECS["none"], [Sent(b"one"), Sent(b"two")])
    body = whole[61:]
    bodies = {
        "cut off": body[:-2],
        "goes on": body + b"x",
        "a record too long": b"\x7e" + body[1:],
        "a number without end": b"\xff" * 20,
    }
    for codec, packed in (("none", bodies[spoil]), ("gzip", gzip_encode(bodies[spoil]))):
        raw = packed_anew(batch(CODECS[codec], [Sent(b"one"), Sent(b"two")]), packed)
        with pytest.raises(CorruptRecordException):
            read(raw)


@pytest.mark.parametrize("magic", [0, 1])
def test_an_old_batch_is_one_record_too_large(magic: int) -> None:
    raw = old_batch(magic, CODECS["gzip"], [b"x" * 5000, b"y" * 5000], 41)
    (record,) = read(raw)
    assert (record.offset, len(record.value)) == (41, 1000)
    assert 10_000 < record.size < 10_200
