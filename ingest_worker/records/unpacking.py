"""Unpacking what Kafka's producers compressed, in memory that does not depend on what they packed.

A batch of records is compressed as a whole. What unpacks to UNPACKED_AT_ONCE_BYTES or less is
unpacked at once; whatever unpacks to more comes piece by piece, however much it is in the end.
Bytes that are no such stream, or only the beginning of one, raise CorruptRecordException.
"""

import mmap
import struct
import sys
import zlib
from collections.abc import Callable, Iterator

import cramjam
from aiokafka.errors import CorruptRecordException

from ingest_worker.records.snappy import raw_snappy_pieces, unpacked_size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UNPACKED_AT_ONCE_BYTES = 32 * 1024 * 1024
"""Ordinary batches are far smaller: a broker takes 1 MB of a packed one by default."""
PIECE_BYTES = 1024 * 1024
LZ4_MAGIC = b"\x04\x22\x4d\x18"
LZ4_LONE_BLOCK = LZ4_MAGIC + b"\x60\x70\x73"
"""How a frame begins whose blocks are independent and of 4 MiB at most, without any checksum."""
LZ4_INDEPENDENT, LZ4_BLOCK_SUMS, LZ4_SIZE, LZ4_SUM, LZ4_DICTIONARY = 0x20, 0x10, 0x08, 0x04, 0x01
LZ4_AS_IT_IS = 1 << 31
"""Set in the size of a block that is not compressed."""
XERIAL = b"\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01"
"""How the framing of Java's snappy library begins; others send one raw block."""


class NotAtOnceError(Exception):
    """It unpacks to more than UNPACKED_AT_ONCE_BYTES, or not at all: unpack it in pieces."""


_workspace = mmap.mmap(-1, UNPACKED_AT_ONCE_BYTES)
"""Only the event loop's thread unpacks. Pages that were never needed take no memory."""


def _into_workspace(module: object) -> Callable[[bytes], bytes]:
    unpack_into: Callable[[bytes, mmap.mmap], int] = module.decompress_into  # type: ignore[attr-defined]

    def unpack(packed: bytes) -> bytes:
        try:
            return _workspace[: unpack_into(packed, _workspace)]
        except cramjam.DecompressionError as error:
            raise NotAtOnceError from error

    return unpack


def _snappy_at_once(packed: bytes) -> bytes:
    blocks = list(_snappy_blocks(bytes(packed)))
    if sum(map(unpacked_size, blocks)) > UNPACKED_AT_ONCE_BYTES:
        raise NotAtOnceError
    try:
        return b"".join(cramjam.snappy.decompress_raw(block) for block in blocks)
    except cramjam.DecompressionError as error:
        raise NotAtOnceError from error


AT_ONCE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _into_workspace(cramjam.gzip),
    "snappy": _snappy_at_once,
    "lz4": _into_workspace(cramjam.lz4),
    "zstd": _into_workspace(cramjam.zstd),
}
"""By name of the codec: unpacks all of it. Raises NotAtOnceError, or CorruptRecordException."""


def _gzip_pieces(packed: bytes) -> Iterator[bytes]:
    while packed:
        unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        rest = packed
        while not unpacking.eof:
            if not rest:
                raise CorruptRecordException("a gzip stream is cut off")
            yield unpacking.decompress(rest, PIECE_BYTES)
            rest = unpacking.unconsumed_tail
        packed = unpacking.unused_data.lstrip(b"\0")


def _zstd_pieces(packed: bytes) -> Iterator[bytes]:
    while packed:
        unpacking = zstd.ZstdDecompressor()
        feed = packed
        while not unpacking.eof:
            yield unpacking.decompress(feed, PIECE_BYTES)
            feed = b""
            if unpacking.needs_input and not unpacking.eof:
                raise CorruptRecordException("a zstd stream is cut off")
        packed = unpacking.unused_data


def _lz4_pieces(packed: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(packed):
        flags = packed[at + 4]
        if packed[at : at + 4] != LZ4_MAGIC or not flags & LZ4_INDEPENDENT:
            raise CorruptRecordException("no lz4 frame of independent blocks")
        at += 7 + 8 * bool(flags & LZ4_SIZE) + 4 * bool(flags & LZ4_DICTIONARY)
        while marked_size := struct.unpack_from("<I", packed, at)[0]:
            past = at + 4 + (marked_size & ~LZ4_AS_IT_IS)
            if past > len(packed):
                raise CorruptRecordException("an lz4 frame is cut off")
            frame = b"".join((LZ4_LONE_BLOCK, packed[at:past], bytes(4)))
            yield _workspace[: cramjam.lz4.decompress_into(frame, _workspace)]
            at = past + 4 * bool(flags & LZ4_BLOCK_SUMS)
        at += 4 + 4 * bool(flags & LZ4_SUM)


def _snappy_pieces(packed: bytes) -> Iterator[bytes]:
    for block in _snappy_blocks(packed):
        if unpacked_size(block) <= PIECE_BYTES:
            yield bytes(cramjam.snappy.decompress_raw(block))
        else:
            yield from raw_snappy_pieces(block, PIECE_BYTES)


def _snappy_blocks(packed: bytes) -> Iterator[memoryview]:
    view = memoryview(packed)
    if not packed.startswith(XERIAL):
        yield view
        return
    at = len(XERIAL)
    while at < len(packed):
        size = int.from_bytes(packed[at : at + 4], "big")
        if at + 4 + size > len(packed):
            raise CorruptRecordException("a snappy stream is cut off")
        yield view[at + 4 : at + 4 + size]
        at += 4 + size


PIECES: list[Callable[[bytes], Iterator[bytes]] | None] = [
    None,
    _gzip_pieces,
    _snappy_pieces,
    _lz4_pieces,
    _zstd_pieces,
]
"""By Kafka's number of the codec."""


def pieces(codec: int, packed: bytes) -> Iterator[bytes]:
    """Unpack step by step, a few MiB at most in each. Raises CorruptRecordException."""
    unpack = PIECES[codec] if codec < len(PIECES) else None
    if codec and unpack is None:
        raise CorruptRecordException(f"there is no codec {codec}")
    try:
        yield from unpack(packed) if unpack else iter([packed])
    except (
        cramjam.DecompressionError,
        zlib.error,
        zstd.ZstdError,
        struct.error,
        IndexError,
    ) as error:
        raise CorruptRecordException(f"it cannot be unpacked: {error}") from error
