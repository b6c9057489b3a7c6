"""`python -m bench [PART...]`: measures, prints the table and writes bench.json.

`python -m bench model` computes from what was measured what a fleet takes.
"""

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import httpx
import psycopg
from aiokafka.errors import KafkaError

from bench import (
    again,
    ask,
    autoscale,
    drain,
    live,
    machine,
    model_command,
    nodes,
    plots,
    posts,
    report,
    restore,
    rollups,
    scale,
    sending,
)
from bench.errors import BenchError
from bench.lab import Lab
from bench.messages import say
from bench.options import Options, parse
from devstack.errors import DevstackError, Interrupted
from devstack.interrupt import INTERRUPTED_STATUS, Interrupt
from reporting.command import run

Part = Callable[[Lab, Options], dict[str, Any]]

PARTS: dict[str, tuple[Part, str]] = {
    "drain": (drain.run, "a backlog into empty tables"),
    "scale": (scale.run, "the same with 1, 2 and 3 workers"),
    "again": (again.run, "all duplicates, and one in ten"),
    "live": (live.run, "from produce to visible, at steady rates"),
    "ask": (ask.run, "a vehicle's performance over a full day of the fleet"),
    "http": (posts.run, "batches of readings through one API process"),
    "autoscale": (autoscale.run, "a backlog, with as many workers as Kubernetes would run"),
    "restore": (restore.run, "backing a full day of the fleet up, and restoring it"),
    "gateway": (sending.run, "what a producer's settings cost"),
    "rollups": (rollups.run, "what housekeeping sums in a second"),
    "nodes": (nodes.run, "the drain on Citus clusters of 1, 2 and 3 nodes, by name alone"),
}
BY_NAME = ("nodes",)
"""Parts that need what not everybody has: they run only when they are named."""
FAILURES = (BenchError, DevstackError, KafkaError, psycopg.Error, httpx.HTTPError)


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; return the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["model"]:
        return run(lambda: model_command.main(arguments[1:]))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    texts = {name: text for name, (_, text) in PARTS.items()}
    names, options = parse(arguments, texts, BY_NAME)
    try:
        with Interrupt() as interrupt:
            failed = measure(names, options, interrupt)
    except (DevstackError, OSError) as error:
        say(f"error: {error}")
        return 1
    except Interrupted:
        say("stopped before its end")
        return INTERRUPTED_STATUS
    if failed:
        say(f"error: no figures for {', '.join(failed)}")
    return 1 if failed else 0


def measure(names: list[str], options: Options, interrupt: Interrupt) -> list[str]:
    """Run the parts one after another and print the table; return the names of those that failed.

    A part is written to bench.json as soon as it is done. One that fails does not stop the others.
    """
    path = options.out / "bench.json"
    parts = report.load(path)
    done = {}
    with Lab() as lab:
        try:
            for name in names:
                found = _measure_part(lab, name, options)
                if found:
                    parts[name] = done[name] = found
                    report.write(path, parts)
        finally:
            interrupt.ignore()
    print("\n".join(report.table(done)))
    say(f"written: {', '.join(str(one) for one in [path, *plots.draw(done, options.out)])}")
    return [name for name in names if name not in done]


def _measure_part(lab: Lab, name: str, options: Options) -> dict[str, Any] | None:
    began = time.monotonic()
    about = machine.describe(lab)
    say(f"part {name}")
    try:
        found = PARTS[name][0](lab, options)
    except FAILURES as error:
        say(f"part {name} failed: {error}")
        lab.end_children()
        return None
    minutes = (time.monotonic() - began) / 60
    say(f"part {name} took {minutes:.1f} minutes")
    sizes = asdict(options) | {"out": str(options.out)}
    return {"machine": about, "options": sizes, "minutes": minutes, **found}


if __name__ == "__main__":
    sys.exit(main())
