"""How often devices really report, and whether that is what they are set to."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from schemas.analytics import MANY_GAPS, STAMPED_PACE_S
from schemas.devices import LONGEST_REPORT_SECONDS

SLOWER, FASTER = 2.0, 0.5
"""A median of more, or less, so many times what is set raises `cadence_mismatch`."""
ROUND_SECONDS = (
    *(1, 5, 10, 15, 20, 30),
    *(60 * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(3_600 * hours for hours in (1, 2, 4, 6, 12, 24)),
)
CLOSE = 0.05
"""A median that is so close to a round value, as a share of it, stands for the round value."""


class Pace(NamedTuple):
    """How often the devices of a side reported, in seconds."""

    side: str
    """AC or DC."""
    gap: float | None
    """The median between readings; None where there are no two."""
    gaps: int
    """Between how many."""
    set_to: int | None
    """What `reportSeconds` says; None where nothing does."""

    @property
    def shown(self) -> float | None:
        """The median to 0.001 s."""
        return None if self.gap is None else round(self.gap, 3)


def pace_of(median_s: float) -> int | None:
    """The pace that a median gap stands for; None for one that no device may have."""
    for seconds in ROUND_SECONDS:
        if abs(median_s - seconds) <= CLOSE * seconds:
            return seconds
    whole = max(1, round(median_s))
    return whole if whole <= LONGEST_REPORT_SECONDS else None


def mismatches(paces: Iterable[Pace]) -> Iterator[tuple[str, str]]:
    """The alerts `cadence_mismatch`, code and message: readings come at another pace than set."""
    for pace in paces:
        expected = pace.set_to or STAMPED_PACE_S
        if pace.gap is None or pace.gaps < MANY_GAPS:
            continue
        if not FASTER * expected <= pace.gap <= SLOWER * expected:
            was = (
                "reportSeconds is not set"
                if pace.set_to is None
                else f"reportSeconds is {expected}"
            )
            yield (
                "cadence_mismatch",
                f"{pace.side} readings come every {pace.gap:g} s and {was}: set it to"
                f" {pace_of(pace.gap) or LONGEST_REPORT_SECONDS}",
            )
