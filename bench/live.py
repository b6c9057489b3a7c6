"""live: how old a reading is when a query first sees it, at steady rates, and what that costs.

One worker is idle first, then reads at one rate after the other. Ages and CPU, in percent of one
core, are measured in the same time, which leaves out the first seconds of each rate.
"""

import json
import time
from typing import Any

from bench.backlog import ends
from bench.checks import check_books
from bench.draining import cpu_of, start_workers
from bench.figures import quantile
from bench.lab import TOPIC_VARIABLES, Environment, Lab
from bench.messages import say
from bench.options import Options
from bench.usage import peak_rss_mb
from bench.watching import Watch
from devstack.demo.child import Child
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import conninfo

SETTLE_S = 8.0
"""From the worker's start to the measurement of the idle worker."""
WARM_UP_S = 3.0
IDLE_S, QUICK_IDLE_S = 30.0, 10.0


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The figures of the idle worker and of every rate; ages are in ms."""
    topics = lab.topics()
    with lab.database(topics) as environment:
        (worker,) = start_workers(lab, environment)
        time.sleep(SETTLE_S)
        idle = percent_used(lab, worker, QUICK_IDLE_S if options.quick else IDLE_S)
        say(f"idle: worker {idle['worker_percent']:.2f} % of one core")
        rates, read = {}, 0
        for rate in options.rates:
            figures, sent = _at_rate(lab, environment, worker, rate, options)
            rates[str(rate)] = figures
            read += sent
            check_books(lab, environment, read=read, stored=read)
            say(f"{rate:,}/s: {', '.join(f'{k} {v:,.4g}' for k, v in figures.items())}")
        peak = peak_rss_mb(worker.process.pid)
        lab.stop(worker)
    lab.drop_topics(topics)
    return {"idle": idle, "rates": rates, "peak_rss_mb": peak}


def _at_rate(
    lab: Lab, environment: Environment, worker: Child, rate: int, options: Options
) -> tuple[dict[str, float], int]:
    load = start_load(lab, environment, rate, WARM_UP_S * 2 + options.seconds, options.devices)
    time.sleep(WARM_UP_S)
    prober = lab.start(
        ["bench.prober", json.dumps(_probe(lab, environment, options.seconds))],
        environment,
        piped=True,
    )
    used = percent_used(lab, worker, options.seconds)
    probed, loaded = json.loads(lab.output(prober)), json.loads(lab.output(load))
    topics = topics_of(environment)
    with Watch(lab, environment, ends(lab, topics)) as watch:
        watch.until_done([worker])
    ages = sorted(probed["ages_ms"])
    figures = {
        "p50_ms": quantile(ages, 0.5),
        "p99_ms": quantile(ages, 0.99),
        "max_ms": ages[-1],
        "markers": float(len(ages)),
        "worst_send_delay_ms": loaded["worst_delay_s"] * 1000,
        **used,
    }
    return figures, loaded["sent"] + probed["sent"]


def start_load(
    lab: Lab, environment: Environment, rate: int, seconds: float, devices: int
) -> Child:
    """Start bench.load as a process."""
    wanted = {
        "topics": topics_of(environment),
        "rate": rate,
        "seconds": seconds,
        "devices": devices,
    }
    return lab.start(["bench.load", json.dumps(wanted)], environment, piped=True)


def percent_used(lab: Lab, worker: Child, seconds: float) -> dict[str, float]:
    """Wait so many seconds; return the CPU used meanwhile, in percent of one core."""
    before, began = cpu_of(lab, [worker]), time.monotonic()
    time.sleep(seconds)
    used, took = cpu_of(lab, [worker]).since(before), time.monotonic() - began
    return {f"{name}_percent": s / took * 100 for name, s in used._asdict().items()}


def topics_of(environment: Environment) -> dict[str, str]:
    """The environment's topics, by the stream's name."""
    return {name: environment[variable] for name, variable in TOPIC_VARIABLES.items()}


def _probe(lab: Lab, environment: Environment, seconds: float) -> dict[str, Any]:
    settings = {
        name: environment[f"DB_{name.upper()}"]
        for name in ("host", "port", "username", "password", "database")
    }
    reached = Settings.model_validate({f"db_{k}": v for k, v in settings.items()})
    return {
        "topics": topics_of(environment),
        "conninfo": conninfo(reached, Application.BENCH),
        "seconds": seconds,
    }
