"""Unpacking a raw snappy block step by step, which libraries only do at once.

The format: https://github.com/google/snappy/blob/main/format_description.txt. A block states its
unpacked size, then come elements: bytes as they are, or a copy of bytes that came before.
"""

from collections.abc import Iterator

from aiokafka.errors import CorruptRecordException

REACH_BYTES = 16 * 1024 * 1024
"""How far back a copy may reach. Compressors look back 64 KiB; the format has no bound."""
MOST_FOR_A_BYTE = 32
"""No byte of a block unpacks to more: a copy of three bytes makes 64 at most, one of two 11."""
LITERAL = 0
LONG_LITERAL = 60


def unpacked_size(block: bytes | memoryview) -> int:
    """The size it states. Raises CorruptRecordException, also when that is impossible."""
    size, _ = _stated(block)
    return size


def raw_snappy_pieces(block: bytes | memoryview, piece_bytes: int) -> Iterator[bytes]:
    """Unpack in pieces of about that size. Raises CorruptRecordException."""
    size, at = _stated(block)
    made, given = bytearray(), 0
    total = 0
    while at < len(block):
        at, count = _unpack_element(block, at, made)
        total += count
        if total > size:
            break
        if len(made) - given >= piece_bytes:
            yield bytes(memoryview(made)[given:])
            if len(made) > 2 * REACH_BYTES:
                del made[:-REACH_BYTES]
            given = len(made)
    if total != size:
        raise CorruptRecordException(f"a snappy block of {size} bytes has another size")
    yield bytes(memoryview(made)[given:])


def _stated(block: bytes | memoryview) -> tuple[int, int]:
    """Size, and where the elements begin."""
    size = at = 0
    for at in range(5):
        if at == len(block):
            break
        size |= (block[at] & 0x7F) << (7 * at)
        if not block[at] & 0x80:
            if size > MOST_FOR_A_BYTE * len(block):
                break
            return size, at + 1
    raise CorruptRecordException("a snappy block states an impossible size")


def _unpack_element(block: bytes | memoryview, at: int, made: bytearray) -> tuple[int, int]:
    """Add what one element stands for to `made`; returns where the next begins, and its size."""
    tag = block[at]
    kind, number = tag & 3, tag >> 2
    at += 1
    if kind == LITERAL:
        size_bytes = max(0, number + 1 - LONG_LITERAL)
        size = 1 + (_little_endian(block, at, size_bytes) if size_bytes else number)
        at += size_bytes
        if at + size > len(block):
            raise CorruptRecordException("a snappy block is cut off")
        made += block[at : at + size]
        return at + size, size
    if kind == 1:
        size, back, at = 4 + (number & 7), (tag >> 5 << 8) | block[at], at + 1
    else:
        bytes_back = 2 if kind == 2 else 4
        size, back, at = number + 1, _little_endian(block, at, bytes_back), at + bytes_back
    if not 0 < back <= len(made):
        raise CorruptRecordException(f"a snappy block looks back {back} bytes")
    start = len(made) - back
    # A copy may reach into what it is making: then it repeats itself.
    made += (made[start : start + size] * (size // back + 1))[:size]
    return at, size


def _little_endian(block: bytes | memoryview, at: int, size: int) -> int:
    return int.from_bytes(block[at : at + size], "little")
