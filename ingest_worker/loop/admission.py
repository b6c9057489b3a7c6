"""Which fetched records to believe: a pure function of the records and our own position.

Around rebalances, seeks and errors a Kafka client hands out records that do not continue at our
position. Deciding by the offsets alone makes every such case harmless, without any callback.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class HasOffset(Protocol):
    """Anything fetched from a partition."""

    @property
    def offset(self) -> int:
        """Its offset."""


class Gap(NamedTuple):
    """Offsets that no fetch returned: position, and the first offset that came instead."""

    position: int
    first: int


class Admitted(NamedTuple):
    """What to do with fetched records."""

    skip: int
    """How many records at the front lie below the position."""
    suspect: Gap | None
    """A gap that is not believed: seek to the position and fetch again."""
    gap: Gap | None
    """A gap that a fetch after a new seek showed again: transactions or compaction left it."""


def admit(
    records: Sequence[HasOffset], position: int, seen_after_seek: Gap | None = None
) -> Admitted:
    """Decide on records of one partition, in offset order.

    `seen_after_seek` is the gap that was suspected when we last sought to `position`. Holes
    between records of one fetch are the log's own.
    """
    skip = 0
    for record in records:
        if record.offset >= position:
            break
        skip += 1
    if skip == len(records) or records[skip].offset == position:
        return Admitted(skip, None, None)
    gap = Gap(position, records[skip].offset)
    if gap == seen_after_seek:
        return Admitted(skip, None, gap)
    return Admitted(skip, gap, None)
