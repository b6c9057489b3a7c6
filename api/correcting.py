"""Where a device's readings stand once its corrections are applied, one after the other.

No reading is looked at: where one is depends on nothing but its time and on what brought it in. So
there are pieces: a stretch of the times that readings were sent with, or that one correction gave
those it brought in, which all have been moved by so much, or are out. Times are microseconds since
2000-01-01 UTC, stretches half-open.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import NamedTuple

SENT = 0
"""In the place of a correction's number: readings that were sent."""


class Correction(NamedTuple):
    """What is done with the readings that stand in [first, past)."""

    number: int
    """In the order in which corrections are applied, from 1."""
    first: int
    past: int
    action: str
    """void, replace, shift or add."""
    shift: int | None = None

    @property
    def reach(self) -> tuple[int, int]:
        """The stretch from the first to the last time it takes readings from or moves them to."""
        shift = self.shift or 0
        return self.first + min(shift, 0), self.past + max(shift, 0)


class Piece(NamedTuple):
    """Readings of one origin, by the times they came with."""

    of: int
    """SENT, or the number of the correction that brought them in."""
    first: int
    past: int
    moved_by: int = 0
    number: int = 0
    """Of the newest correction that had to do with them; 0 when none had."""
    out: bool = False
    """That correction took them out."""
    earlier: tuple[int, ...] = ()
    """The numbers of those before that one, the newest first."""

    @property
    def age(self) -> tuple[int, ...]:
        """The greatest stay where readings meet: what moves together stays in order."""
        return self.number, *self.earlier


class Place(NamedTuple):
    """Where readings stand, or stood when they were taken out."""

    moved_by: int
    out_by: int = 0
    """The number of the correction that took them out; 0 when they stand."""


class Change(NamedTuple):
    """Where the readings of a piece were, and where they are now."""

    of: int
    first: int
    past: int
    was: Place
    now: Place

    @property
    def stands(self) -> tuple[int, int]:
        """The stretch where they are now."""
        return self.first + self.now.moved_by, self.past + self.now.moved_by

    def touched(self) -> Iterator[tuple[int, int]]:
        """The stretches where they stood and stand, if those are not the same."""
        for place in (self.was, self.now) if self.was != self.now else ():
            if not place.out_by:
                yield self.first + place.moved_by, self.past + place.moved_by


def reach_of(one: Correction, others: Iterable[Correction]) -> tuple[int, int]:
    """The stretch that `one` and all that it meets reach, directly or by way of others.

    Corrections that do not meet it have nothing to do with the readings there.
    """
    first, past = one.reach
    left = list(others)
    while True:
        beside = [c for c in left if c.reach[1] <= first or c.reach[0] >= past]
        if len(beside) == len(left):
            return first, past
        for correction in left:
            if correction not in beside:
                first = min(first, correction.reach[0])
                past = max(past, correction.reach[1])
        left = beside


def pieces(corrections: Iterable[Correction], reach: tuple[int, int]) -> list[Piece]:
    """All readings within the reach of these corrections, which are in order."""
    found = [Piece(SENT, *reach)]
    for correction in corrections:
        found = [part for piece in found for part in _applied(correction, piece)]
        if correction.action in ("add", "replace"):
            number = correction.number
            found.append(Piece(number, correction.first, correction.past, 0, number))
    return found


def _applied(correction: Correction, piece: Piece) -> Iterator[Piece]:
    """A piece as a correction leaves it, cut where only a part of it stands in the window."""
    if piece.out or correction.action == "add":
        yield piece
        return
    first = max(piece.first, correction.first - piece.moved_by)
    past = min(piece.past, correction.past - piece.moved_by)
    if first >= past:
        yield piece
        return
    if piece.first < first:
        yield piece._replace(past=first)
    moved_by = piece.moved_by + (correction.shift or 0)
    out = correction.action != "shift"
    earlier = piece.age if piece.number else ()
    yield Piece(piece.of, first, past, moved_by, correction.number, out, earlier)
    if past < piece.past:
        yield piece._replace(first=past)


def changes(before: Iterable[Piece], after: Iterable[Piece]) -> list[Change]:
    """All pieces of both, cut where either is; what is on one side alone is out on the other."""
    sides: dict[int, tuple[list[Piece], list[Piece]]] = {}
    for side, of_side in enumerate((before, after)):
        for piece in of_side:
            sides.setdefault(piece.of, ([], []))[side].append(piece)
    found = []
    for of, both in sides.items():
        cuts = sorted({cut for side in both for piece in side for cut in (piece.first, piece.past)})
        was, now = (_places(side, cuts, Place(0, out_by=of)) for side in both)
        found += [
            Change(of, *stretch, *places)
            for stretch, *places in zip(pairwise(cuts), was, now, strict=True)
        ]
    return found


def _places(side: Iterable[Piece], cuts: Sequence[int], absent: Place) -> Iterator[Place]:
    """Where the readings between two cuts each are; the pieces of a side leave out all or none."""
    ordered = sorted(side, key=lambda piece: piece.first)
    if not ordered:
        yield from repeat(absent, len(cuts) - 1)
    for piece in ordered:
        within = bisect_left(cuts, piece.past) - bisect_left(cuts, piece.first)
        yield from repeat(Place(piece.moved_by, piece.number if piece.out else 0), within)


def meetings(changed: Iterable[Change]) -> list[Change]:
    """The parts of these whose readings may stand at one instant now, and did not before."""
    standing = sorted((c for c in changed if not c.now.out_by), key=lambda one: one.stands)
    found: set[Change] = set()
    for place, one in enumerate(standing):
        for other in standing[place + 1 :]:
            if other.stands[0] >= one.stands[1]:
                break
            if not _stay_together(one, other):
                past = min(one.stands[1], other.stands[1])
                found |= {*standing_in((one, other), other.stands[0], past)}
    return list(found)


def standing_in(changed: Iterable[Change], first: int, past: int) -> Iterator[Change]:
    """The parts of these whose readings stand in [first, past) now."""
    for change in changed:
        start, end = max(first, change.stands[0]), min(past, change.stands[1])
        if start < end and not change.now.out_by:
            moved_by = change.now.moved_by
            yield change._replace(first=start - moved_by, past=end - moved_by)


def _stay_together(one: Change, other: Change) -> bool:
    """Whether what is at one instant now was so before, though perhaps both were out."""
    moved, other_moved = (c.now.moved_by - c.was.moved_by for c in (one, other))
    return moved == other_moved and one.was.out_by == other.was.out_by


def merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same times as stretches in order that neither overlap nor touch."""
    found: list[tuple[int, int]] = []
    for first, past in sorted(stretches):
        if found and first <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], past)
        else:
            found.append((first, past))
    return found
