"""The results of a run: `bench.json`, and a table of the targets and the figures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from devstack.data_dir import write_atomically

Parts = dict[str, dict[str, Any]]
"""What each part returned, by its name."""


class Target(NamedTuple):
    """A figure with what it must be and what it should be."""

    figure: str
    at_least: float
    aim: float
    unit: str
    path: str
    """The keys that lead to it in the parts, with dots between."""


TARGETS = [
    Target("drain, one reading a record, / \\copy", 0.6, 1.0, "", "drain.median.single.ratio"),
    Target("drain, arrays of 50, / \\copy", 0.9, 1.3, "", "drain.median.arrays.ratio"),
    Target("worker CPU a reading, single", 6.5, 4.5, "us", "drain.median.single.worker_cpu_us"),
    Target("worker CPU a reading, arrays", 4.5, 2.5, "us", "drain.median.arrays.worker_cpu_us"),
    Target("all duplicates / \\copy", 0.3, 0.5, "", "again.median.all.ratio"),
    Target("one in ten a duplicate / \\copy", 0.45, 0.7, "", "again.median.tenth.ratio"),
    Target("worker peak RSS, any part", 350, 200, "MB", "peak_rss_mb"),
    Target("produce to visible, 334/s, p50", 150, 60, "ms", "live.rates.334.p50_ms"),
    Target("produce to visible, 334/s, p99", 400, 200, "ms", "live.rates.334.p99_ms"),
    Target("produce to visible, 20,000/s, p99", 1500, 300, "ms", "live.rates.20000.p99_ms"),
    Target("worker CPU idle, of one core", 2, 0.5, "%", "live.idle.worker_percent"),
    Target("worker CPU at 334/s, of one core", 12, 8, "%", "live.rates.334.worker_percent"),
    Target("performance 24 h, warm, 1 client, p99", 15, 5, "ms", "ask.quiet.one.p99_ms"),
    Target("performance 24 h, warm, 16 clients", 250, 800, "/s", "ask.quiet.many.requests_s"),
    Target("http batches of 500", 15_000, 40_000, "/s", "http.median.batches.readings_s"),
    Target("heap + index bytes a row, single", 142, 125, "B", "drain.median.single.row_bytes"),
    Target("heap + index bytes a row, arrays", 142, 125, "B", "drain.median.arrays.row_bytes"),
    Target("heap + index bytes a row, a day gone by", 142, 125, "B", "ask.settled.row_bytes"),
]


def load(path: Path) -> Parts:
    """The parts of an earlier run, if there was one."""
    try:
        parts: Parts = json.loads(path.read_text(encoding="utf-8"))["parts"]
    except (OSError, ValueError, KeyError):
        return {}
    return parts


def write(path: Path, parts: Parts) -> None:
    """Write the parts atomically: a failure leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps({"parts": parts}, indent=1) + "\n")


def table(parts: Parts) -> list[str]:
    """The lines of the table, without figures that were not measured."""
    lines = [f"{'figure':<40}{'at least':>10}{'aim':>10}{'measured':>12}"]
    for target in TARGETS:
        value = measured(parts, target.path)
        if value is not None:
            lines.append(
                f"{target.figure:<40}{target.at_least:>10,g}{target.aim:>10,g}"
                f"{_short(value):>12} {target.unit:<3}{verdict(target, value)}"
            )
    return lines


def measured(parts: Parts, path: str) -> float | None:
    """The figure at that path; None when it was not measured."""
    if path == "peak_rss_mb":
        return max(_every(parts, path), default=None)
    found: Any = parts
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return float(found)


def verdict(target: Target, value: float) -> str:
    """Whether the figure reaches its target; the aim tells whether more or less is better."""
    reaches: Callable[[float], bool] = (
        value.__ge__ if target.aim > target.at_least else value.__le__
    )
    if reaches(target.aim):
        return "aim reached"
    return "reached" if reaches(target.at_least) else "MISSED"


def _every(found: Any, name: str) -> list[float]:
    if isinstance(found, list):
        return [value for one in found for value in _every(one, name)]
    if not isinstance(found, dict):
        return []
    below = [value for one in found.values() for value in _every(one, name)]
    return below + ([float(found[name])] if name in found else [])


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
