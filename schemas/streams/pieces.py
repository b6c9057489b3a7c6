"""Taking a record apart, in memory that is bounded by its bytes, not by how many values it holds.

A megabyte of `[0,0,...]` is half a million values, and as many objects once it is split. So an
array is cut into chunks of whole elements first, at the speed of C: brackets are counted, and only
around the end of a chunk each of them is looked at.
"""

import re
from collections.abc import Iterator

import msgspec

from schemas.text import one_line

CHUNK_BYTES = 64 * 1024
"""Of one chunk, unless a single element is larger."""
MAX_CHARACTER_BYTES = 4
_STRING = re.compile(rb'"[^"]*"')
_TOKEN = re.compile(rb'"[^"]*"|[\[\]{},]')
_STEPS = {b"[": 1, b"{": 1, b"]": -1, b"}": -1, b",": 0}
_Array = msgspec.json.Decoder(list[msgspec.Raw])


def split_record(value: bytes | None) -> Iterator[bytes]:
    """A well-formed record as arrays that together hold its readings, each array of a bounded size.

    Raises ValueError, at once, saying what is malformed.
    """
    if value is None:
        raise ValueError("no value at all (a tombstone)")
    if not value.strip():
        raise ValueError("empty")
    try:
        check_utf8(value)
        whole = bytes(msgspec.json.decode(value, type=msgspec.Raw))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deep to decode") from None
    except msgspec.MsgspecError as error:
        raise ValueError(one_line(error)) from None
    if not whole.startswith(b"["):
        return iter([b"[%b]" % whole])
    if not whole[1:-1].strip():
        raise ValueError("an empty array")
    return (b"[%b]" % chunk for chunk in chunks(whole))


def elements(array: bytes) -> list[msgspec.Raw]:
    """The elements of one well-formed array."""
    return _Array.decode(array)


def readings_of(value: bytes | None) -> Iterator[bytes]:
    """The bytes of each reading of a well-formed record. Raises ValueError."""
    for array in split_record(value):
        for piece in elements(array):
            yield bytes(piece)


def check_utf8(value: bytes) -> None:
    """Raise UnicodeDecodeError unless the bytes are UTF-8; only a chunk at a time becomes text."""
    if len(value) <= CHUNK_BYTES:
        value.decode()
        return
    start = 0
    while start < len(value):
        end = start + CHUNK_BYTES
        for _ in range(MAX_CHARACTER_BYTES - 1):  # so that no character is cut in two
            if end < len(value) and value[end] & 0xC0 == 0x80:
                end += 1
        try:
            value[start:end].decode()
        except UnicodeDecodeError as error:
            at = start + error.start
            raise UnicodeDecodeError("utf-8", value, at, at + 1, error.reason) from None
        start = end


def chunks(value: bytes, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """The elements of a JSON array, or the members of an object, comma separated, in chunks.

    `value` must be well-formed, without space around it, and hold at least one. A chunk ends at the
    first comma between elements that comes after `chunk_bytes`.
    """
    start, last = 1, len(value) - 1
    # In well-formed JSON backslashes stand in strings only. All quotes left are strings' ends.
    masked = value.replace(rb"\\", b"__").replace(rb"\"", b"__")
    while (end := start + chunk_bytes) < last:
        if masked.count(b'"', start, end) % 2:
            end = masked.index(b'"', end) + 1
        cut = _next_comma(masked, end, last, _depth(masked, start, end))
        if cut is None:
            break
        yield value[start:cut]
        start = cut + 1
    yield value[start:last]


def _depth(masked: bytes, start: int, end: int) -> int:
    """How many brackets that opened since `start` are still open at `end`."""
    bare = _STRING.sub(b"", masked[start:end])
    opened, closed = bare.count(b"[") + bare.count(b"{"), bare.count(b"]") + bare.count(b"}")
    return opened - closed


def _next_comma(masked: bytes, start: int, last: int, depth: int) -> int | None:
    """The first comma from `start` on that stands in no bracket; None when there is none."""
    for token in _TOKEN.finditer(masked, start, last):
        step = _STEPS.get(token[0])
        if step:
            depth += step
        elif step == 0 and depth == 0:
            return token.start()
    return None
