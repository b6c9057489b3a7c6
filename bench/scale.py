"""scale: the same backlog with one, two and three workers."""

from functools import partial
from typing import Any

from bench.backlog import Backlog, backlog_fleet, produce
from bench.checks import check_books
from bench.draining import drain
from bench.figures import Figures, measure_in_turns, medians
from bench.lab import Lab
from bench.options import Options

MIN_MINUTES = 60
"""A group takes seconds to form: a smaller backlog would be drained by then."""


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them; `speedup` is against one worker in the same run."""
    fleet = backlog_fleet(options)._replace(minutes=max(options.minutes, MIN_MINUTES))
    form = options.first_form
    backlog = produce(lab, fleet, form)
    runs = measure_in_turns(
        options,
        {
            str(workers): partial(_measure, lab, backlog, workers)
            for workers in ([1, 2] if options.quick else [1, 2, 3])
        },
        unit=" worker(s)",
    )
    for one in runs:
        for figures in one.values():
            figures["speedup"] = figures["readings_s"] / one["1"]["readings_s"]
    return {"readings": fleet.readings, "form": form, "runs": runs, "median": medians(runs)}


def _measure(lab: Lab, backlog: Backlog, workers: int) -> Figures:
    with lab.database(backlog.topics) as environment:
        found = drain(lab, environment, backlog, workers=workers)
        check_books(lab, environment, read=backlog.readings, stored=backlog.distinct)
    return found.costs() | {"readings": found.readings, "workers": workers}
