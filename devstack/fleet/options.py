"""What kind of fleet is wanted: its sizes, its faults and the seed that everything follows from."""

import re
from dataclasses import dataclass

FAULTS = ("duplicates", "late", "clocks", "garbage", "conflicts")
METERS_A_DEPOT = 12
SHORTEST_INTERVAL_S = 0.1
PREFIX = re.compile(r"[A-Za-z0-9._-]{0,32}", re.ASCII)


@dataclass(frozen=True)
class FleetOptions:
    """A fleet. Equal options, start and steps give byte-equal records."""

    meters: int = 48
    vehicles: int = 48
    seed: int = 1
    faults: frozenset[str] = frozenset()
    """Which of FAULTS happen."""
    array_size: int = 1
    """Most readings a gateway puts into one record; 1 means plain objects, not arrays."""
    mixed: bool = False
    """Every second gateway publishes plain objects whatever `array_size` says."""
    prefix: str = ""
    """Comes before every device id."""

    def __post_init__(self) -> None:
        if not 1 <= self.meters <= 100_000 or not 0 <= self.vehicles <= 100_000:
            raise ValueError("a fleet has 1 to 100,000 meters and 0 to 100,000 vehicles")
        if not 1 <= self.array_size <= 10_000:
            raise ValueError("an array holds 1 to 10,000 readings")
        if unknown := self.faults.difference(FAULTS):
            raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
        if not PREFIX.fullmatch(self.prefix):
            raise ValueError("a prefix has at most 32 letters, digits, dots, - or _")


def parse_faults(text: str) -> frozenset[str]:
    """`all`, `none` or names with commas between. Raises ValueError for an unknown name."""
    if text == "all":
        return frozenset(FAULTS)
    names = frozenset(name.strip() for name in text.split(",")) - {"none", ""}
    if unknown := names.difference(FAULTS):
        raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
    return names
