"""Whether an answer of the HTTP API is what the reference says, which rounds nothing."""

from datetime import datetime
from fractions import Fraction
from typing import Any

from tests.readings import iso

PLACES = {"averageBatteryTemp": 1, "avgTemp": 1}
NOISE = 1e-6
"""Of shares that PostgreSQL rounds far behind the point, and of doubles; that of a quotient of two
of them, beside its own size."""
RATIOS = ("efficiencyRatio", "efficiency")


def agree(found: Any, expected: Any, path: str = "") -> None:
    """All that the reference says is so; what else an answer says is not looked at."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            agree(found[name], value, f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{path}: {found} is not {expected}"
        for n, (one, other) in enumerate(zip(found, expected, strict=True)):
            agree(one, other, f"{path}[{n}]")
    elif isinstance(expected, Fraction):
        assert isinstance(found, int | float), f"{path}: {found} is not {float(expected)}"
        name = path.rpartition(".")[2]
        noise = NOISE * max(Fraction(1), expected if name in RATIOS else Fraction(0))
        slack = Fraction(1, 2 * 10 ** PLACES.get(name, 3)) + Fraction(noise)
        assert abs(Fraction(found) - expected) <= slack, f"{path}: {found} is not {float(expected)}"
    elif isinstance(expected, datetime):
        assert found == iso(expected), f"{path}: {found} is not {iso(expected)}"
    else:
        assert found == expected, f"{path}: {found!r} is not {expected!r}"


def look_up(body: Any, path: str) -> Any:
    """`a.b` of a dict of dicts."""
    for name in path.split("."):
        body = body[name]
    return body
