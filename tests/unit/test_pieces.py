"""Records are taken apart right, and whatever they are made of, in little memory."""

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.streams import METER
from schemas.streams.decoder import Decoder
from schemas.streams.pieces import CHUNK_BYTES, check_utf8, chunks, readings_of
from schemas.streams.rejection import MAX_BAD_READINGS
from schemas.streams.times import ClockLimits
from tests.readings import array_value

ANY_TIME = ClockLimits(-(2**62), 2**62)
GOOD = b'{"meterId":"A","kwhConsumedAc":1,"voltage":1,"timestamp":"2026-01-31T12:00:00Z"}'
MEBIBYTE = 1024 * 1024

TEXTS = st.text(st.sampled_from('ab"\\[]{},: é\U0001f50b\n'), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(
    st.lists(VALUES, min_size=1, max_size=12),
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from([(",", ":"), (" , ", " : "), (",\n", ": ")]),
)
def test_chunks_are_cut_between_elements(
    values: list[Any], chunk_bytes: int, escaped: bool, separators: tuple[str, str]
) -> None:
    array = json.dumps(values, ensure_ascii=escaped, separators=separators).encode()
    found = list(chunks(array, chunk_bytes))
    assert b",".join(found) == array[1:-1]
    assert [one for chunk in found for one in json.loads(b"[" + chunk + b"]")] == values
    assert all(json.loads(b"[" + chunk + b"]") for chunk in found)
    if chunk_bytes == 1:
        assert len(found) == len(values)
    assert [json.loads(piece) for piece in readings_of(array)] == values


def test_chunks_are_no_larger_than_they_have_to_be() -> None:
    array = array_value(*[b'{"a":[1,"x,]"]}'] * 20_000)
    sizes = [len(chunk) for chunk in chunks(array)]
    assert len(sizes) > 3
    assert max(sizes) < CHUNK_BYTES + 100


@settings(deadline=None)
@given(st.text(st.sampled_from("aé€\U0001f50b"), max_size=6), st.integers(0, 3), st.binary())
def test_utf8_is_checked_across_chunks(text: str, before: int, after: bytes) -> None:
    value = b"a" * (CHUNK_BYTES - before) + text.encode() + after
    assert bad_byte(lambda: check_utf8(value)) == bad_byte(value.decode)


def bad_byte(decode: Callable[[], object]) -> int | None:
    """Where it stops, if it does."""
    try:
        decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


def repeated(piece: bytes, size: int = MEBIBYTE) -> bytes:
    return array_value(*[piece] * (size // (len(piece) + 1)))


HOSTILE = {
    "numbers": repeated(b"0"),
    "objects": repeated(b"{}"),
    "arrays": repeated(b"[]"),
    "texts": repeated(b'"a,"'),
    "escapes": repeated(rb'"\\\""'),
    "nested": repeated(b"[[[{}]]]"),
    "one nested": b"[" + repeated(b"[]") + b"]",
    "one with all in a field": GOOD[:-1] + b',"x":' + repeated(b"[]") + b"}",
    "no id": b'{"x":' + repeated(b"[]") + b"}",
    "bad readings": repeated(GOOD.replace(b'"A"', b"111")),
    "repeated keys": GOOD[:-1] + b',"timestamp":"x","x":' + repeated(b"[]") + b"}",
    "members": b"{" + b",".join([b'"\\n":0'] * (MEBIBYTE // 7)) + b"," + GOOD[1:],
    "one long text": b'["' + "\U0001f50b".encode() + b"a" * MEBIBYTE + b'"]',
    "digits": GOOD.replace(b":1,", b":" + b"9" * MEBIBYTE + b",", 1),
    "deep": b"[" * MEBIBYTE,
    "quotes": b'"' * MEBIBYTE,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_no_record_takes_much_more_memory_than_it_has_bytes(name: str) -> None:
    value = HOSTILE[name]
    decoder = Decoder(METER)
    tracemalloc.start()
    try:
        rows, _, rejections = decoder.decode(value, ANY_TIME)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(rows) + len(rejections) == 1
    assert most < 4 * len(value) + 12 * MEBIBYTE, f"{most / MEBIBYTE:.1f} MiB"


def test_the_good_ones_among_too_many_bad_readings_are_found() -> None:
    bad = [b"0"] * (MAX_BAD_READINGS + 5)
    value = array_value(GOOD, *bad, GOOD.replace(b'"A"', b"1"), GOOD, *bad, GOOD)
    rows, places, (rejection,) = Decoder(METER).decode(value, ANY_TIME)
    assert (len(rows), places) == (3, [0, len(bad) + 2, 2 * len(bad) + 3])
    assert (rejection.place, rejection.reason, rejection.raw) == (None, "malformed", value)
    assert rejection.detail.startswith("20,011 of its 20,014 readings are bad, which count as one;")
    assert "the first, [1]: invalid: Expected `object`" in rejection.detail


def test_as_many_bad_readings_as_may_be_are_each_one() -> None:
    value = array_value(*[b"0"] * MAX_BAD_READINGS, GOOD)
    rows, places, rejections = Decoder(METER).decode(value, ANY_TIME)
    assert (len(rows), places, len(rejections)) == (1, [MAX_BAD_READINGS], MAX_BAD_READINGS)


def test_two_hundred_thousand_readings_in_one_record_are_decoded() -> None:
    value = array_value(*[GOOD] * 190_000)
    rows, places, rejections = Decoder(METER).decode(value, ANY_TIME)
    assert (len(rows), places, rejections) == (190_000, None, [])
    rows, places, rejections = Decoder(METER).decode(value[:-1] + b",0]", ANY_TIME)
    assert (len(rows), [one.place for one in rejections]) == (190_000, [190_000])
    assert places == list(range(190_000))


def test_each_of_repeated_keys_is_looked_at_in_a_large_reading_too() -> None:
    large = b',"x":"' + b"x" * CHUNK_BYTES + b'"}'
    decoder = Decoder(METER)
    for extra, good in (
        (b'"timestamp":"soon"', False),
        (b'"time\\u0073tamp":"soon"', False),
        (b'"meterId":"M\\u0000"', False),
        (b'"meterId":"first"', True),
        (b'"y":{"meterId":"M\\u0000","timestamp":"soon"}', True),
        (b'"y":"\\n"', True),
    ):
        value = b"{" + extra + b"," + GOOD[1:-1] + large
        rows, _, rejections = decoder.decode(value, ANY_TIME)
        assert (len(rows), len(rejections)) == ((1, 0) if good else (0, 1)), extra


def test_the_id_of_a_bad_reading_is_told_where_it_has_one() -> None:
    for value, device_id in (
        (GOOD.replace(b'"voltage":1', b'"voltage":999'), "A"),
        (GOOD.replace(b'"A"', b"5"), None),
        (b'{"x":1}', None),
        (b"17", None),
        (b'{"meterId":"\\u0000"}', None),
    ):
        _, _, (rejection,) = Decoder(METER).decode(value, ANY_TIME)
        assert rejection.device_id == device_id
