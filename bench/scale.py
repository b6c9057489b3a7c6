"""scale: the same backlog with one, two and three workers."""

from typing import Any

from bench.backlog import Backlog, produce
from bench.checks import check_books
from bench.drain import Figures, a_fleet, medians, rotated, say_run
from bench.draining import drain
from bench.lab import Lab
from bench.options import Options

MIN_MINUTES = 60
"""A group takes seconds to form: a smaller backlog would be over by then."""
FORM = "single"


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """All runs, and the medians over them; `speedup` is against one worker in the same run."""
    counts = [1, 2] if options.quick else [1, 2, 3]
    one = a_fleet(options)._replace(minutes=max(options.minutes, MIN_MINUTES))
    form = options.forms[0] if options.forms else FORM
    backlog = produce(lab, one, form)
    runs = []
    for number in range(options.runs):
        figures: dict[str, Figures] = {}
        for workers in rotated([str(count) for count in counts], number):
            figures[workers] = _measure(lab, backlog, int(workers))
            say_run(number, f"{workers} worker(s)", figures[workers])
        for found in figures.values():
            found["speedup"] = found["readings_s"] / figures["1"]["readings_s"]
        runs.append(figures)
    return {"readings": one.readings, "form": form, "runs": runs, "median": medians(runs)}


def _measure(lab: Lab, backlog: Backlog, workers: int) -> Figures:
    with lab.database(backlog.topics) as environment:
        found = drain(lab, environment, backlog, workers=workers)
        check_books(lab, environment, read=backlog.readings, stored=backlog.distinct)
    return {
        "readings_s": found.rate,
        "readings": found.readings,
        "seconds": found.seconds,
        "peak_rss_mb": found.peak_rss_mb,
    }
