"""What is said of a reading that was not accepted as it came: why, which, and its bytes."""

from typing import NamedTuple

from schemas.text import one_line

MAX_BAD_READINGS = 10_000
"""Of one record. When more are bad, they count as one rejected reading."""
REPAIRED = "repaired"
"""The reason of a reading that is stored without what was wrong in it."""


class Rejection(NamedTuple):
    """Why one reading, or a record that could not be split, was not accepted."""

    place: int | None
    """Place in the record; None when the record could not be split."""
    reason: str
    """malformed, invalid, too_old, in_future, conflict, refused or repaired."""
    detail: str
    """One line for people."""
    raw: bytes
    """The bytes of that reading alone, or of the whole record."""
    device_id: str | None = None
    size: int | None = None
    """How many bytes there were, where `raw` holds only the first of them."""
    time: int | None = None
    """The reading's own time, where it can be read: microseconds since 2000-01-01 UTC."""
    same_energy: bool = False
    """Whether it is a conflict whose energy is the stored one's."""
    dropped: tuple[str, ...] = ()
    """Of one that is repaired, the fields that it is stored without."""
    outcome: str | None = None
    """Of one that is repaired, what became of it: stored or duplicate."""

    def cut(self, max_bytes: int) -> "Rejection":
        """The same with no more than so many of its bytes, and their true number noted."""
        if len(self.raw) <= max_bytes:
            return self
        return self._replace(raw=self.raw[:max_bytes], size=self.size or len(self.raw))


def fold(value: bytes, bad: int, total: int, first: Rejection) -> Rejection:
    """One rejection for so many bad readings of the record's `total`; `first` is one of them."""
    detail = (
        f"{bad:,} of its {total:,} readings are bad, which count as one;"
        f" the first, [{first.place}]: {first.reason}: {first.detail}"
    )
    return Rejection(None, "malformed", one_line(detail), value)
