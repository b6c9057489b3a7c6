"""What producers packed is unpacked in pieces, bit for bit, and bad bytes end in an error."""

import random

import cramjam
import pytest
from aiokafka import codec as aiokafka_codec
from aiokafka.errors import CorruptRecordException

from ingest_worker.records import snappy
from ingest_worker.records.snappy import raw_snappy_pieces
from ingest_worker.records.unpacking import AT_ONCE, UNPACKED_AT_ONCE_BYTES, NotAtOnceError, pieces
from tests.batches import CODECS

MIB = 1024 * 1024
PACK = {
    "gzip": lambda data: aiokafka_codec.gzip_encode(data, 1),
    "snappy": aiokafka_codec.snappy_encode,
    "raw snappy": lambda data: bytes(cramjam.snappy.compress_raw(data)),
    "lz4": aiokafka_codec.lz4_encode,
    "zstd": aiokafka_codec.zstd_encode,
}
RANDOM = random.Random(7)
TEXTS = {
    "empty": b"",
    "a byte": b"x",
    "random": RANDOM.randbytes(200_000),
    "words": b"".join(RANDOM.choice((b"meter", b'":1.', b"25}", b"\0")) for _ in range(100_000)),
    "large": b"ab" * (UNPACKED_AT_ONCE_BYTES // 2) + b"end",
}


def number(name: str) -> int:
    return CODECS[name.split()[-1]]


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("text", TEXTS)
def test_pieces_make_the_whole(name: str, text: str) -> None:
    packed = PACK[name](TEXTS[text])
    got = list(pieces(number(name), packed))
    assert b"".join(got) == TEXTS[text]
    assert max(map(len, got), default=0) <= 4 * MIB


@pytest.mark.parametrize("name", PACK)
def test_at_once_what_is_not_too_large(name: str) -> None:
    unpack = AT_ONCE[name.split()[-1]]
    assert unpack(PACK[name](TEXTS["words"])) == TEXTS["words"]
    with pytest.raises(NotAtOnceError):
        unpack(PACK[name](TEXTS["large"]))


@pytest.mark.parametrize("name", ["gzip", "lz4", "zstd"])
def test_streams_may_follow_each_other(name: str) -> None:
    packed = PACK[name](b"first ") + PACK[name](b"") + PACK[name](b"second")
    assert b"".join(pieces(number(name), packed)) == b"first second"
    assert AT_ONCE[name](packed) == b"first second"


def test_frames_with_every_option_of_lz4() -> None:
    for options in ({"content_checksum": True}, {"level": 1}, {}):
        packing = cramjam.lz4.Compressor(block_linked=False, **options)
        packing.compress(TEXTS["words"])
        assert b"".join(pieces(CODECS["lz4"], bytes(packing.finish()))) == TEXTS["words"]


@pytest.mark.parametrize("name", PACK)
def test_a_stream_that_is_cut_off_or_spoilt_is_an_error(name: str) -> None:
    """Whatever comes of it, it comes soon, and it is no other error."""
    packed = PACK[name](TEXTS["words"])
    for size in (1, 5, 17, len(packed) // 2, len(packed) - 1):
        with pytest.raises(CorruptRecordException):
            list(pieces(number(name), packed[:size]))
        with pytest.raises((NotAtOnceError, CorruptRecordException)):
            AT_ONCE[name.split()[-1]](packed[:size])
    short = PACK[name](TEXTS["words"][:3000])
    for at in range(len(short)):
        spoilt = short[:at] + bytes([short[at] ^ RANDOM.randrange(1, 256)]) + short[at + 1 :]
        try:
            unpacked = sum(map(len, pieces(number(name), spoilt)))
        except CorruptRecordException:
            continue
        assert unpacked < MIB


def test_no_such_codec() -> None:
    with pytest.raises(CorruptRecordException, match="codec 6"):
        list(pieces(6, b"x"))


def test_a_snappy_block_that_states_an_impossible_size_takes_no_memory() -> None:
    for packed in (b"\xff\xff\xff\xff\x0f" + b"x" * 100, b"\x80" * 30, b"\xff" * 4):
        with pytest.raises(CorruptRecordException, match="impossible"):
            AT_ONCE["snappy"](packed)
        with pytest.raises(CorruptRecordException, match="impossible"):
            list(pieces(CODECS["snappy"], packed))


def test_a_snappy_frame_of_blocks_without_end_ends() -> None:
    header = aiokafka_codec.snappy_encode(b"x")[:16]
    for size in (b"\xff\xff\xff\xfc", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff"):
        with pytest.raises(CorruptRecordException):
            list(pieces(CODECS["snappy"], header + size + b"1234"))
        with pytest.raises(CorruptRecordException):
            AT_ONCE["snappy"](header + size + b"1234")


@pytest.mark.parametrize("text", TEXTS)
def test_snappy_by_hand_is_snappy(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snappy, "REACH_BYTES", 100_000)
    data = TEXTS[text][:3_000_000]
    block = bytes(cramjam.snappy.compress_raw(data))
    assert b"".join(raw_snappy_pieces(block, 10_000)) == data


def test_snappy_copies_of_every_kind() -> None:
    long = bytes(range(256)) * 300
    size = len(long)
    literal = (
        bytes([61 << 2]) + (size - 1).to_bytes(2, "little") + long
        if size <= 65536
        else (bytes([62 << 2]) + (size - 1).to_bytes(3, "little") + long)
    )
    far = bytes([3 | 63 << 2]) + size.to_bytes(4, "little")
    near = bytes([1 | 7 << 2, 1])
    stated = size + 64 + 11
    varint = bytes([stated & 0x7F | 0x80, stated >> 7 & 0x7F | 0x80, stated >> 14])
    block = varint + literal + far + near
    assert b"".join(raw_snappy_pieces(block, 1000)) == bytes(cramjam.snappy.decompress_raw(block))
