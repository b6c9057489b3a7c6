"""The options of a fleet: its size, its faults, and the seed of everything random."""

import re
from dataclasses import dataclass

FAULTS = ("duplicates", "late", "clocks", "garbage", "conflicts")
METERS_A_DEPOT = 12
SHORTEST_INTERVAL_S = 0.1
PREFIX = re.compile(r"[A-Za-z0-9._-]{0,32}", re.ASCII)


@dataclass(frozen=True)
class FleetOptions:
    """The options. Equal options, start and steps give records with equal bytes."""

    meters: int = 48
    vehicles: int = 48
    seed: int = 1
    faults: frozenset[str] = frozenset()
    """The faults that happen, some of FAULTS."""
    array_size: int = 1
    """The most readings a gateway puts into a record; 1 means plain objects, not arrays."""
    mixed: bool = False
    """Whether every second gateway sends plain objects whatever `array_size` is."""
    prefix: str = ""
    """What every device id begins with."""

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
    """The faults in `all`, `none` or a comma-separated list. Raises ValueError for others."""
    if text == "all":
        return frozenset(FAULTS)
    names = frozenset(name.strip() for name in text.split(",")) - {"none", ""}
    if unknown := names.difference(FAULTS):
        raise ValueError(f"unknown faults: {', '.join(sorted(unknown))}")
    return names
