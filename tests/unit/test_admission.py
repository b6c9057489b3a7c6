"""Which fetched records are believed."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from ingest_worker.loop.admission import Admitted, Gap, admit


@dataclass
class At:
    offset: int


def at(*offsets: int) -> list[At]:
    return [At(offset) for offset in offsets]


def test_records_that_continue_are_taken() -> None:
    assert admit(at(5, 6, 7), 5) == Admitted(0, None, None)


def test_records_below_the_position_are_thrown_away() -> None:
    assert admit(at(3, 4, 5), 5) == Admitted(2, None, None)
    assert admit(at(3, 4), 5) == Admitted(2, None, None)
    assert admit([], 5) == Admitted(0, None, None)


def test_a_gap_is_believed_only_when_a_fresh_fetch_shows_it_again() -> None:
    first = admit(at(8, 9), 5)
    assert first.suspect == Gap(5, 8)
    assert admit(at(8, 9), 5, first.suspect) == Admitted(0, None, Gap(5, 8))
    assert admit(at(9, 10), 5, first.suspect).suspect == Gap(5, 9)
    assert admit(at(5, 6), 5, first.suspect) == Admitted(0, None, None)


def test_holes_inside_a_fetch_are_the_logs_own() -> None:
    assert admit(at(5, 9, 20), 5) == Admitted(0, None, None)


@given(st.lists(st.integers(0, 30), unique=True).map(sorted), st.integers(0, 30))
def test_nothing_below_the_position_is_ever_taken(offsets: list[int], position: int) -> None:
    admitted = admit(at(*offsets), position)
    taken = offsets[admitted.skip :]
    assert all(offset >= position for offset in taken)
    if taken and not admitted.suspect:
        assert taken[0] == position
