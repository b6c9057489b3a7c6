"""drain: a backlog into empty tables, against `psql \\copy` of the same rows in the same run."""

from functools import partial
from typing import Any

from bench import yardstick
from bench.backlog import Backlog, backlog_fleet, produce
from bench.checks import check_books, history_bytes
from bench.draining import drain
from bench.figures import Figures, add_ratios, measure_in_turns, medians
from bench.lab import Lab
from bench.options import Options
from bench.producing import FORMS


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them."""
    fleet = backlog_fleet(options)
    files = yardstick.write_files(lab.stack.data_dir, fleet)
    backlogs = {form: produce(lab, fleet, form) for form in options.forms or FORMS}
    runs = measure_in_turns(
        options,
        {
            "copy": partial(yardstick.measure, lab, files, fleet),
            **{
                form: partial(into_empty_tables, lab, backlog) for form, backlog in backlogs.items()
            },
        },
    )
    add_ratios(runs)
    return {"readings": fleet.readings, "runs": runs, "median": medians(runs)}


def into_empty_tables(lab: Lab, backlog: Backlog) -> Figures:
    """Drain the backlog with one worker, and check the result."""
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
