"""again: a backlog once more with positions set back, and one in which one reading in ten repeats.

The rate counts readings read, duplicates too; the yardstick is `\\copy` of the fleet's rows.
"""

from functools import partial
from typing import Any

from bench import yardstick
from bench.backlog import Backlog, backlog_fleet, produce
from bench.checks import check_books
from bench.drain import into_empty_tables
from bench.draining import drain
from bench.figures import Figures, add_ratios, measure_in_turns, medians
from bench.lab import Environment, Lab
from bench.options import Options


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them."""
    fleet = backlog_fleet(options)
    form = options.first_form
    files = yardstick.write_files(lab.stack.data_dir, fleet)
    backlog = produce(lab, fleet, form)
    with_repeats = produce(lab, fleet, form, repeats=True)
    runs = measure_in_turns(
        options,
        {
            "copy": partial(yardstick.measure, lab, files, fleet),
            "all": partial(_all_again, lab, backlog),
            "tenth": partial(into_empty_tables, lab, with_repeats),
        },
    )
    add_ratios(runs)
    return {"readings": fleet.readings, "form": form, "runs": runs, "median": medians(runs)}


def _all_again(lab: Lab, backlog: Backlog) -> Figures:
    """Drain the backlog, then measure draining it a second time."""
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
    """Set the group's positions to the start of the topics."""
    for topic in backlog.topics.values():
        words = ["ingest_worker", "positions", "set", "--topic", topic]
        lab.run([*words, "--partition", "all", "--to", "earliest"], environment)
