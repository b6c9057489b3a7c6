"""Batches of records as Kafka keeps them, made by aiokafka's own builders, and also spoilt ones."""

import struct
import sys
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import cramjam
from aiokafka.codec import gzip_encode, snappy_encode
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c, encode_varint

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
"""Kafka's number of each."""
FIRST_MS = 1_700_000_000_000
ATTRIBUTES_AT, CRC_AT, HEADER_BYTES = 21, 17, 61
COUNT_AT, CHUNK_BYTES = 57, 1 << 20
TIMES_AT, LOG_APPEND_TIME = 27, 8


class Sent(NamedTuple):
    """What a producer sends."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


def batch(
    codec: int, sent: Sequence[Sent], base_offset: int = 0, *, transactional: int = 0
) -> bytes:
    """A batch whose records are a millisecond apart."""
    producer = 7 if transactional else -1
    builder = DefaultRecordBatchBuilder(2, codec, transactional, producer, 0, 0, 1 << 40)
    for number, (value, key, headers) in enumerate(sent):
        builder.append(number, FIRST_MS + number, key, value, list(headers))
    return at(bytes(builder.build()), base_offset)


def old_batch(magic: int, codec: int, values: Sequence[bytes], last_offset: int) -> bytes:
    """A batch of message format 0 or 1."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 40)
    for number, value in enumerate(values):
        builder.append(number, FIRST_MS, None, value)
    return at(bytes(builder.build()), last_offset)


def packed_twice(offset: int) -> bytes:
    """A batch of message format 1, packed, whose only record is packed, too."""
    inner = LegacyRecordBatchBuilder(1, CODECS["gzip"], 1 << 40)
    inner.append(0, FIRST_MS, None, b"x" * 5000)
    packed: bytes = gzip_encode(bytes(inner.build()))
    body = struct.pack(">bbqii", 1, CODECS["gzip"], FIRST_MS, -1, len(packed)) + packed
    return struct.pack(">qiI", offset, 4 + len(body), zlib.crc32(body)) + body


def at(of: bytes, offset: int) -> bytes:
    """The batch at another offset."""
    return struct.pack(">q", offset) + of[8:]


def packed_anew(of: bytes, packed: bytes) -> bytes:
    """The batch with other bytes for its records; its size and its checksum are right."""
    return with_checksum(
        of[:8] + struct.pack(">i", HEADER_BYTES - 12 + len(packed)) + of[12:61] + packed
    )


def with_append_time(of: bytes, append_ms: int) -> bytes:
    """The batch as a broker keeps it that sets times itself."""
    attributes = struct.unpack_from(">h", of, ATTRIBUTES_AT)[0] | LOG_APPEND_TIME
    changed = bytearray(of)
    struct.pack_into(">h", changed, ATTRIBUTES_AT, attributes)
    struct.pack_into(">q", changed, TIMES_AT + 8, append_ms)
    return with_checksum(bytes(changed))


def with_checksum(of: bytes) -> bytes:
    """The batch with the checksum that it ought to have."""
    return of[:CRC_AT] + struct.pack(">I", calc_crc32c(of[ATTRIBUTES_AT:])) + of[ATTRIBUTES_AT:]


def hostile_batch(codec: str, *values: bytes | int) -> bytes:
    """A batch made without ever holding it unpacked: a number stands for so many spaces."""
    packing = _Packing(codec)
    for number, value in enumerate(values):
        size = value if isinstance(value, int) else len(value)
        body, length = bytearray(b"\0"), bytearray()
        for field in (number, number, -1, size):
            encode_varint(field, body.append)
        encode_varint(len(body) + size + 1, length.append)
        packing.add(bytes(length + body))
        if isinstance(value, bytes):
            packing.add(value)
        else:
            for _ in range(value // CHUNK_BYTES):
                packing.add(b" " * CHUNK_BYTES)
            packing.add(b" " * (value % CHUNK_BYTES))
        packing.add(b"\0")
    of = batch(CODECS[codec], [Sent(b"x")] * len(values))
    return packed_anew(of, packing.finish())


class _Packing:
    """Packs with one codec as much as one likes."""

    def __init__(self, codec: str) -> None:
        self._parts: list[bytes] = []
        self._codec = codec
        self._packing: Any = None
        if codec == "snappy":
            self._parts.append(snappy_encode(b""))
        elif codec == "gzip":
            self._packing = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
        elif codec == "lz4":
            self._packing = cramjam.lz4.Compressor(level=1, block_linked=False)
        else:
            self._packing = zstd.ZstdCompressor()

    def add(self, piece: bytes) -> None:
        if self._codec == "snappy":
            block = bytes(cramjam.snappy.compress_raw(piece))
            self._parts += [struct.pack(">i", len(block)), block]
        elif self._codec == "lz4":
            self._packing.compress(piece)
        else:
            self._parts.append(self._packing.compress(piece))

    def finish(self) -> bytes:
        if self._codec == "lz4":
            return bytes(self._packing.finish())
        if self._codec != "snappy":
            self._parts.append(self._packing.flush())
        return b"".join(self._parts)


class ReadyBatch(BatchBuilder):  # type: ignore[misc]
    """A batch that aiokafka's producer sends as it is."""

    def __init__(self, raw: bytes) -> None:
        (self._relative_offset,) = struct.unpack_from(">i", raw, COUNT_AT)
        self._buffer = raw
        self._closed = True

    def _set_producer_state(self, *_: int) -> None:
        """It has none."""
