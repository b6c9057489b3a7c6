"""again: a backlog once more with positions set back, and one in which one reading in ten repeats.

The rate counts readings read, duplicates too; the yardstick is `\\copy` of the fleet's rows.
"""

from typing import Any

from bench import yardstick
from bench.backlog import Backlog, produce
from bench.checks import check_books
from bench.drain import (
    Figures,
    a_fleet,
    add_ratios,
    into_empty_tables,
    medians,
    rotated,
    say_run,
)
from bench.draining import drain
from bench.lab import Environment, Lab
from bench.options import Options

FORM = "single"


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """All runs, and the medians over them."""
    one = a_fleet(options)
    form = options.forms[0] if options.forms else FORM
    files = yardstick.write_files(lab.stack.data_dir, one)
    backlog = produce(lab, one, form)
    with_repeats = produce(lab, one, form, repeats=True)
    runs = []
    for number in range(options.runs):
        figures: dict[str, Figures] = {}
        for what in rotated(["copy", "all", "tenth"], number):
            if what == "copy":
                figures[what] = yardstick.measure(lab, files, one)
            elif what == "all":
                figures[what] = _all_again(lab, backlog)
            else:
                figures[what] = into_empty_tables(lab, with_repeats)
            say_run(number, what, figures[what])
        add_ratios(figures)
        runs.append(figures)
    return {"readings": one.readings, "form": form, "runs": runs, "median": medians(runs)}


def _all_again(lab: Lab, backlog: Backlog) -> Figures:
    with lab.database(backlog.topics) as environment:
        drain(lab, environment, backlog)
        _set_back(lab, environment, backlog)
        figures = drain(lab, environment, backlog).costs()
        check_books(
            lab,
            environment,
            read=2 * backlog.readings,
            stored=backlog.readings,
            duplicate=backlog.readings,
        )
    return figures


def _set_back(lab: Lab, environment: Environment, backlog: Backlog) -> None:
    for topic in backlog.topics.values():
        words = ["ingest_worker", "positions", "set", "--topic", topic]
        lab.run([*words, "--partition", "all", "--to", "earliest"], environment)
