"""What a consumer hands out of fetched bytes: every record once, in order, within the bounds."""

import gc
from collections.abc import Iterable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.codec import lz4_encode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from ingest_worker.records import allowance as allowances
from ingest_worker.records.allowance import FETCH_BYTES, allowance
from ingest_worker.records.unpacking import UNPACKED_AT_ONCE_BYTES
from ingest_worker.write.batch import OversizedRecord
from tests.batches import (
    CODECS,
    Sent,
    at,
    batch,
    hostile_batch,
    old_batch,
    packed_anew,
    packed_twice,
    with_checksum,
)
from tests.kafka import hand_out_lean
from tests.settings import settings_of

MIB = 1024 * 1024
KEPT = 1000
TOO_LARGE = UNPACKED_AT_ONCE_BYTES + MIB
FETCHES = 300
PACKED = [name for name in CODECS if name != "none"]


@pytest.fixture(autouse=True)
def lean(monkeypatch: pytest.MonkeyPatch) -> None:
    hand_out_lean(monkeypatch, settings_of({}, max_record_bytes=2 * MIB, rejected_raw_bytes=KEPT))


class Buffered:
    """A partition's fetched bytes in a consumer that is assigned this partition only."""

    paused = False
    active = True

    def __init__(
        self, *batches: bytes, position: int = 0, aborted: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.position = position
        records = fetcher.PartitionRecords(
            TopicPartition("t", 0),
            fetcher.MemoryRecords(b"".join(batches)),
            list(aborted),
            position,
            None,
            None,
            True,
            fetcher.READ_COMMITTED,
        )
        self.result: Any = fetcher.FetchResult(
            TopicPartition("t", 0), assignment=self, partition_records=records, backoff=0
        )

    def state_value(self, _: TopicPartition) -> "Buffered":
        return self

    def consumed_to(self, position: int) -> None:
        self.position = position

    def take(self, most: int | None = None) -> list[Any]:
        """What one fetch hands out."""
        allowance.renew()
        records: list[Any] = self.result.getall(most)
        return records

    def first(self) -> list[Any]:
        """The first record, if a few fetches get it."""
        return next((records for _ in range(5) if (records := self.take(1))), [])

    def drain(self, most: int | None = None) -> list[list[Any]]:
        """What each fetch hands out, until nothing is left."""
        fetches = []
        while self.result.has_more():
            fetches.append(self.take(most))
            assert len(fetches) < FETCHES
        return fetches

    def read(self) -> list[Any]:
        return [record for records in self.drain() for record in records]


def seen(records: Iterable[Any]) -> list[tuple[int, int, bytes | None]]:
    return [(r.offset, getattr(r, "size", len(r.value or b"")), r.value) for r in records]


@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_every_record_once_and_in_order(codec: int) -> None:
    values = [b"%d" % number for number in range(30)]
    batches = [batch(codec, [Sent(v, b"k") for v in values[n : n + 10]], n) for n in (0, 10, 20)]
    for most in (None, 1, 7, 10, 30):
        buffered = Buffered(*batches)
        fetches = buffered.drain(most)
        assert [r.value for records in fetches for r in records] == values
        assert max(map(len, fetches)) <= (most or 30)
        assert buffered.position == 30
    for position in range(30):
        rest = Buffered(*batches[position // 10 :], position=position)
        assert [r.value for r in rest.read()] == values[position:]


@pytest.mark.parametrize("size", [1, TOO_LARGE])
def test_a_batch_whose_last_records_compaction_took(size: int) -> None:
    """The position still moves to its end."""
    raw = bytearray(hostile_batch("zstd", b"first", size))
    raw[23:27] = (9).to_bytes(4, "big")
    buffered = Buffered(with_checksum(bytes(raw)))
    assert [r.offset for r in buffered.read()] == [0, 1]
    assert buffered.position == 10


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("size", [2 * MIB + 1, TOO_LARGE])
def test_a_record_too_large_is_cut_and_the_others_are_whole(codec: str, size: int) -> None:
    if codec == "none":
        raw = batch(0, [Sent(b"before"), Sent(b" " * size), Sent(b"after")])
    else:
        raw = hostile_batch(codec, b"before", size, b"after")
    records = Buffered(raw, batch(0, [Sent(b"next")], 3)).read()
    assert isinstance(records[1], OversizedRecord)
    expected = [(0, 6, b"before"), (1, size, b" " * KEPT), (2, 5, b"after"), (3, 4, b"next")]
    assert seen(records) == expected
    assert seen(Buffered(raw, position=2).read()) == expected[2:3]


def test_no_fetch_hands_out_more_than_fits_in_memory() -> None:
    """Nor do several partitions together."""
    raw = hostile_batch("zstd", MIB, MIB)
    batches = [at(raw, offset) for offset in range(0, 80, 2)]
    one, other = Buffered(*batches), Buffered(*batches)
    fetches = []
    while other.result.has_more():
        records = one.take() if one.result.has_more() else []
        fetches.append(records + other.result.getall() if records else other.take())
    sizes = [sum(len(r.value) for r in records) for records in fetches]
    assert sum(sizes) == 160 * MIB
    assert max(sizes) <= FETCH_BYTES
    assert [r.offset for records in fetches for r in records] == 2 * list(range(80))


def test_small_records_are_bounded_by_their_batches() -> None:
    small = [Sent(b"x" * 900)] * 1000
    batches = [at(batch(CODECS["lz4"], small), 1000 * number) for number in range(40)]
    fetches = Buffered(*batches).drain()
    assert [r.offset for records in fetches for r in records] == list(range(40_000))
    assert max(sum(len(r.value) for r in records) for records in fetches) < FETCH_BYTES + MIB


def test_large_keys_and_headers_are_not_kept() -> None:
    sent = [Sent(b"v", b"k" * MIB), Sent(b"w", None, [("h", b"x" * MIB)])]
    for raw in (batch(CODECS["zstd"], sent), batch(0, sent)):
        records = Buffered(raw).read()
        assert seen(records) == [(0, 1, b"v"), (1, 1, b"w")]
        assert not any(hasattr(record, "key") for record in records)


def test_a_key_too_large_for_memory_is_passed_over() -> None:
    raw = batch(CODECS["zstd"], [Sent(b"v", b"k" * TOO_LARGE), Sent(b"w")])
    assert seen(Buffered(raw).read()) == [(0, 1, b"v"), (1, 1, b"w")]


@pytest.mark.parametrize("codec", [0, CODECS["lz4"]])
def test_the_name_of_a_header_may_be_any_bytes(codec: int) -> None:
    sent = [Sent(b"one"), Sent(b"two", None, [("nam\u00e9", b"x")]), Sent(b"three")]
    plain = batch(0, sent)
    records = plain[61:].replace("\u00e9".encode(), b"\xff\xff")
    spoilt = packed_anew(batch(codec, sent), lz4_encode(records) if codec else records)
    assert [r.value for r in Buffered(spoilt).read()] == [b"one", b"two", b"three"]


@pytest.mark.parametrize("size", [100, TOO_LARGE])
def test_an_aborted_transaction_is_passed_over(size: int) -> None:
    aborted = batch(CODECS["zstd"], [Sent(b" " * size)], 0, transactional=1)
    committed = batch(CODECS["zstd"], [Sent(b"after")], 1)
    buffered = Buffered(aborted, committed, aborted=[(7, 0)])
    assert seen(buffered.read()) == [(1, 5, b"after")]


@pytest.mark.parametrize("codec", PACKED)
@pytest.mark.parametrize("size", [100, TOO_LARGE])
def test_corrupt_bytes_are_an_error_and_move_nothing(codec: str, size: int) -> None:
    whole = hostile_batch(codec, size, b"after")
    cut_off = packed_anew(whole, whole[61:-9])
    wrong_checksum = whole[:-1] + bytes([whole[-1] ^ 1])
    for raw in (cut_off, wrong_checksum):
        buffered = Buffered(raw)
        with pytest.raises(CorruptRecordException):
            buffered.drain(1)
        assert buffered.position < 2


def test_an_old_batch_that_cannot_be_unpacked_at_once_is_one_rejection() -> None:
    small = old_batch(1, CODECS["gzip"], [b"one", b"two"], 1)
    large = old_batch(1, CODECS["gzip"], [b" " * MIB] * (TOO_LARGE // MIB), 40)
    records = Buffered(small, large, packed_twice(41), old_batch(1, 0, [b"last"], 42)).read()
    assert [r.offset for r in records] == [0, 1, 40, 41, 42]
    assert [r.value for r in (*records[:2], records[4])] == [b"one", b"two", b"last"]
    assert (len(records[2].value), records[2].size > TOO_LARGE - MIB) == (KEPT, True)
    assert isinstance(records[3], OversizedRecord)


def test_long_unpacking_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "TURN_S", 0)
    large, also_large = (Buffered(hostile_batch("gzip", b"a", TOO_LARGE, b"z")) for _ in range(2))
    ordinary = Buffered(batch(0, [Sent(b"x")] * 3))
    handed: list[Any] = []
    turns = 0
    while large.result.has_more():
        handed += large.take()
        if large.result.has_more():
            assert allowance.unfinished
            assert also_large.result.getall() == []
            if ordinary.result.has_more():
                ordinary.result.getall()
        turns += 1
        assert turns < FETCHES
    assert [r.offset for r in handed] == [0, 1, 2]
    assert turns > 10
    assert not ordinary.result.has_more()
    assert [r.offset for r in also_large.read()] == [0, 1, 2]


def test_what_a_seek_drops_is_let_go_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "TURN_S", 0)
    gc.disable()
    try:
        dropped = Buffered(hostile_batch("gzip", TOO_LARGE))
        assert dropped.take() == []
        del dropped.result
        handed = Buffered(hostile_batch("gzip", b"x", TOO_LARGE)).first()
    finally:
        gc.enable()
    assert seen(handed) == [(0, 1, b"x")]


def test_a_stalled_partition_holds_up_no_other_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowances, "TURN_S", 0)
    stalled = Buffered(hostile_batch("gzip", TOO_LARGE))
    assert stalled.take() == []
    other = Buffered(hostile_batch("gzip", b"x", TOO_LARGE))
    assert other.first() == []
    monkeypatch.setattr(allowances, "QUIET_S", 0)
    assert seen(other.first()) == [(0, 1, b"x")]
