"""drain: a backlog into empty tables, against `psql \\copy` of the same rows in the same run."""

from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any

from bench import yardstick
from bench.backlog import Backlog, produce
from bench.checks import check_books, history_bytes
from bench.draining import drain
from bench.lab import Lab, say
from bench.options import Options
from bench.producing import FORMS
from bench.readings import BenchFleet, fleet
from ingest_worker.housekeeping.reindexing import OVER_SINCE

Figures = dict[str, float]


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """All runs, and the medians over them."""
    forms = options.forms or FORMS
    one = a_fleet(options)
    files = yardstick.write_files(lab.stack.data_dir, one)
    backlogs = {form: produce(lab, one, form) for form in forms}
    runs = []
    for number in range(options.runs):
        figures: dict[str, Figures] = {}
        for what in rotated(["copy", *forms], number):
            if what == "copy":
                figures[what] = yardstick.measure(lab, files, one)
            else:
                figures[what] = into_empty_tables(lab, backlogs[what])
            say_run(number, what, figures[what])
        add_ratios(figures)
        runs.append(figures)
    return {"readings": one.readings, "runs": runs, "median": medians(runs)}


def into_empty_tables(lab: Lab, backlog: Backlog) -> Figures:
    """One drain by one worker, checked."""
    with lab.database(backlog.topics) as environment:
        figures = drain(lab, environment, backlog).costs()
        check_books(
            lab,
            environment,
            read=backlog.readings,
            stored=backlog.distinct,
            duplicate=backlog.readings - backlog.distinct,
        )
        return figures | history_bytes(lab, environment)


def a_fleet(options: Options) -> BenchFleet:
    """The fleet of a backlog: its readings begin with yesterday, UTC."""
    return fleet(
        devices=options.devices, minutes=options.minutes, start=last_day(), clock=options.clock
    )


def last_day() -> datetime:
    """The start of the last UTC day that housekeeping takes as over."""
    over_until = (datetime.now(UTC) - OVER_SINCE).replace(hour=0, minute=0, second=0, microsecond=0)
    return over_until - timedelta(days=1)


def rotated(names: list[str], number: int) -> list[str]:
    """Another one first in each run: none is always the one that finds a fresh machine."""
    first = number % len(names)
    return names[first:] + names[:first]


def add_ratios(figures: dict[str, Figures]) -> None:
    """Each rate as a part of that of `\\copy` in this run."""
    for what, found in figures.items():
        if what != "copy":
            found["ratio"] = found["readings_s"] / figures["copy"]["readings_s"]


def medians(runs: list[dict[str, Figures]]) -> dict[str, Figures]:
    """The median of each figure."""
    return {
        what: {name: median(run[what][name] for run in runs) for name in figures}
        for what, figures in runs[0].items()
    }


def say_run(number: int, what: str, figures: Figures) -> None:
    """A line a measurement."""
    texts = [f"{name} {value:,.4g}" for name, value in figures.items() if name != "readings_s"]
    say(f"run {number + 1}, {what}: {figures['readings_s']:,.0f} readings/s, {', '.join(texts)}")
