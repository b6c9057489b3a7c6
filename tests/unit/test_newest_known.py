"""No stored reading is ever taken for new, as long as PostgreSQL is asked for what is stored."""

import sys
import tracemalloc
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from ingest_worker.write.newest_known import ENTRY_BYTES, NewestKnown
from schemas.streams.stream import Row


def row(device: str, time: int) -> Row:
    return (0.0, time, 0.0, device)


def test_newer_readings_are_new_all_others_are_not() -> None:
    known = NewestKnown()
    rows = [row("A", 5), row("A", 7), row("A", 6), row("B", 1), row("A", 7)]
    new, others = known.split(rows, lambda ids: {"B": 1})
    assert new == {"A": [row("A", 5), row("A", 7)], "B": []}
    assert others == [2, 3, 4]


def test_known_devices_are_not_looked_up_again_until_forgotten() -> None:
    asked: list[set[str]] = []

    def look_up(ids: Iterable[str]) -> dict[str, int]:
        asked.append(set(ids))
        return {}

    known = NewestKnown()
    known.split([row("A", 1)], look_up)
    known.split([row("A", 2)], look_up)
    known.forget()
    known.split([row("A", 3)], look_up)
    assert asked == [{"A"}, {"A"}]


@given(
    st.lists(st.tuples(st.sampled_from("ABCD"), st.integers(0, 9)), max_size=40),
    st.integers(0, 4),
)
def test_what_is_called_new_was_never_stored(readings: list[tuple[str, int]], devices: int) -> None:
    known = NewestKnown(max_bytes=devices * (ENTRY_BYTES + sys.getsizeof("A")))
    stored: set[tuple[str, int]] = set()

    def look_up(ids: Iterable[str]) -> dict[str, int]:
        newest = {device: max(t for d, t in stored if d == device) for device, _ in stored}
        return {device: newest[device] for device in ids if device in newest}

    for reading in readings:
        new, _ = known.split([row(*reading)], look_up)
        if any(new.values()):
            assert reading not in stored
        stored.add(reading)


def test_what_is_known_takes_no_more_memory_than_allowed() -> None:
    max_bytes = 4 * 1024 * 1024
    tracemalloc.start()
    try:
        known = NewestKnown(max_bytes)
        largest = 0
        for batch in range(60):
            rows = [row(f"{batch:03}-{number:060}", batch * 10**15) for number in range(1_000)]
            known.split(rows, lambda ids: {})
            del rows
            largest = max(largest, tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert max_bytes / 2 < largest < max_bytes
