"""The figures a model computes from, each with what it rests on: measured, or given.

They stand in model.toml. Measured ones are taken from a bench.json instead, and any of them from a
file of one's own, which counts most.
"""

import tomllib
from pathlib import Path
from typing import NamedTuple

from bench.errors import BenchError
from bench.report import Parts, measured

DEFAULTS = Path(__file__).with_name("model.toml")
GIVEN = "given"
MANY_DEVICES = 100_000
"""Of a stream: from so many on, a batch has about one reading a device, as steady traffic has."""
OF_MANY = ("drain", "nodes")
"""Parts whose costs depend on it."""
SHARES = ("busy", "full")
WHOLE = ("copies", "replication", "api_processes")
MAY_BE_ZERO = ("price_core", "price_memory_gb", "price_disk_tb", "api_processes")


class Figure(NamedTuple):
    """A number, its unit, and what it rests on."""

    value: float
    unit: str
    source: str


Figures = dict[str, Figure]
"""By name, in the order of model.toml."""


def figures(parts: Parts, own: Path | None = None) -> Figures:
    """Those of model.toml; of `parts` what was measured; then those of one's own file.

    Raises BenchError when a figure is impossible.
    """
    found = {}
    for name, entry in tomllib.loads(DEFAULTS.read_text(encoding="utf-8")).items():
        value, source = entry["value"], entry.get("source", GIVEN)
        seen = _measured(parts, entry["measured"]) if "measured" in entry else None
        if seen is not None:
            value, source = seen, f"measured: {entry['measured'].partition('.')[0]}"
        found[name] = Figure(float(value), entry["unit"], source)
    for name, value in (_read(own) if own else {}).items():
        if name not in found:
            raise BenchError(f"{own}: there is no figure {name}; there are {', '.join(found)}")
        found[name] = Figure(value, found[name].unit, f"given in {own}")
    for name, figure in found.items():
        _check(name, figure.value)
    return found


def _measured(parts: Parts, path: str) -> float | None:
    part = path.partition(".")[0]
    devices = measured(parts, f"{part}.options.devices") or 0
    if part in OF_MANY and devices < MANY_DEVICES:
        return None
    return measured(parts, path)


def _read(path: Path) -> dict[str, float]:
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: {error}") from None
    for name, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BenchError(f"{path}: {name} is to be a number")
    return {name: float(value) for name, value in given.items()}


def _check(name: str, value: float) -> None:
    """Raise BenchError when no machine or fleet can have this figure."""
    if name in SHARES and not 0 < value <= 1:
        raise BenchError(f"{name}={value:g}: a share is above 0 and at most 1")
    if name in WHOLE and not value.is_integer():
        raise BenchError(f"{name}={value:g}: a number of whole ones")
    if not (value >= 0 if name in MAY_BE_ZERO else value > 0) or value == float("inf"):
        least = "0 or more" if name in MAY_BE_ZERO else "more than 0"
        raise BenchError(f"{name}={value:g}: has to be {least}")
