"""Pieces say where readings stand: as if each correction were applied to each reading in turn."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as some

from api.correcting import (
    SENT,
    Correction,
    Piece,
    changes,
    meetings,
    merged,
    pieces,
    reach_of,
)

LAST = 12
"""Windows are so short that corrections meet each other often."""


class Placed(NamedTuple):
    """A reading, and where it is, or was when it was taken out."""

    of: int
    came: int
    stands: int
    number: int = 0
    out: bool = False


@some.composite
def corrections(draw: some.DrawFn) -> list[Correction]:
    found = []
    for number in range(1, draw(some.integers(1, 6)) + 1):
        first = draw(some.integers(0, LAST - 1))
        past = draw(some.integers(first + 1, LAST))
        action = draw(some.sampled_from(("void", "replace", "shift", "add")))
        shift = draw(some.sampled_from((-7, -2, -1, 1, 3))) if action == "shift" else None
        found.append(Correction(number, first, past, action, shift))
    return found


def one_by_one(them: Sequence[Correction]) -> list[Placed]:
    """A reading at each time, and each correction brings in one at each time of its window."""
    placed = [Placed(SENT, time, time) for time in range(-LAST, 2 * LAST)]
    for number, first, past, action, shift in them:
        for place, reading in enumerate(placed):
            if not reading.out and first <= reading.stands < past and action != "add":
                stands = reading.stands + (shift or 0)
                out = action != "shift"
                placed[place] = reading._replace(stands=stands, number=number, out=out)
        if action in ("add", "replace"):
            placed += [Placed(number, time, time, number) for time in range(first, past)]
    return placed


def by_pieces(found: Sequence[Piece]) -> list[Placed]:
    return [
        Placed(piece.of, time, time + piece.moved_by, piece.number, piece.out)
        for piece in found
        for time in range(piece.first, piece.past)
    ]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(corrections())
def test_pieces_are_corrections_one_by_one(them: list[Correction]) -> None:
    found = by_pieces(pieces(them, (-LAST, 2 * LAST)))
    assert sorted(found) == sorted(one_by_one(them))
    assert len({(placed.of, placed.came) for placed in found}) == len(found)


@settings(derandomize=True, max_examples=300, deadline=None)
@given(corrections(), some.integers(0, 5), some.booleans())
@example([Correction(1, 0, 9, "add"), Correction(2, 0, 9, "void")], 1, True)
def test_of_one_that_is_made_or_undone(them: list[Correction], which: int, undone: bool) -> None:
    """What it changes is found within its reach, and so are all instants that are taken now."""
    one = them[which % len(them)] if undone else them[-1]
    others = [other for other in them if other is not one]
    reach = reach_of(one, others)
    near = [c for c in them if c.reach[0] < reach[1] and c.reach[1] > reach[0]]
    with_it, without_it = pieces(near, reach), pieces([c for c in near if c is not one], reach)
    changed = changes(*(with_it, without_it) if undone else (without_it, with_it))
    before = {(p.of, p.came): p for p in one_by_one(them if undone else others)}
    after = {(p.of, p.came): p for p in one_by_one(others if undone else them)}

    stretches = merged(stretch for change in changed for stretch in change.touched())
    touched = {time for first, past in stretches for time in range(first, past)}
    differ = set()
    for key in before.keys() | after.keys():
        stood, stands = (side.get(key) for side in (before, after))
        places = [p.stands if p and not p.out else None for p in (stood, stands)]
        differ |= set(places) if places[0] != places[1] else set()
    assert touched == differ - {None}
    assert all(reach[0] <= time < reach[1] for time in touched)

    at = defaultdict(set)
    for key, stands in after.items():
        if not stands.out:
            stood = before.get(key, Placed(*key, key[1], key[0], True))
            at[stands.stands].add((stood.stands, stood.number if stood.out else 0))
    met = defaultdict(set)
    for part in meetings(changed):
        for time in range(part.first, part.past):
            place = part.was
            met[time + part.now.moved_by].add((time + place.moved_by, place.out_by))
    assert {t for t, had in met.items() if len(had) > 1} == {
        t for t, had in at.items() if len(had) > 1
    }
