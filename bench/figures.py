"""Figures of several runs: measured in turns, compared, and reduced to their medians."""

from collections.abc import Callable, Mapping
from statistics import median

from bench.messages import say
from bench.options import Options

Figures = dict[str, float]
"""What one measurement found, by the names that bench.json shows."""
Run = dict[str, Figures]
"""What one run found, by the name of the measurement."""


def measure_in_turns(
    options: Options, measurements: Mapping[str, Callable[[], Figures]], *, unit: str = ""
) -> list[Run]:
    """Make every measurement in every run, and begin each run with another one.

    So none of them is always the one that finds a fresh machine. `unit` follows a measurement's
    name where it is printed.
    """
    names = list(measurements)
    runs = []
    for number in range(options.runs):
        first = number % len(names)
        run: Run = {}
        for name in names[first:] + names[:first]:
            run[name] = measurements[name]()
            say_run(number, name + unit, run[name])
        runs.append(run)
    return runs


def add_ratios(runs: list[Run]) -> None:
    """Add each rate as a part of that of `\\copy` in the same run."""
    for run in runs:
        for name, figures in run.items():
            if name != "copy":
                figures["ratio"] = figures["readings_s"] / run["copy"]["readings_s"]


def medians(runs: list[Run]) -> Run:
    """The median of each figure over all runs."""
    return {
        name: {figure: median(run[name][figure] for run in runs) for figure in figures}
        for name, figures in runs[0].items()
    }


def quantile(ordered: list[float], part: float) -> float:
    """The value below which that part of the ordered values lies."""
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def say_run(number: int, name: str, figures: Figures) -> None:
    """Print the figures of a measurement in one line."""
    texts = [f"{key} {value:,.4g}" for key, value in figures.items() if key != "readings_s"]
    say(f"run {number + 1}, {name}: {figures['readings_s']:,.0f} readings/s, {', '.join(texts)}")
