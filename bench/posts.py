"""http: batches of 500 readings through one API process; a client waits for each answer."""

from typing import Any

from bench.apis import Api
from bench.backlog import Backlog, ends, last_day
from bench.checks import check_books
from bench.draining import drain
from bench.figures import Figures, medians, say_run
from bench.lab import Environment, Lab
from bench.options import Options

PATH = "/v1/telemetry/ingest/batch"
BATCH = 500
CLIENTS = 4
SECONDS, QUICK_SECONDS = 20.0, 5.0
DEVICES = 10_000


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them; at the end a worker stores all of it as a check."""
    topics = lab.topics()
    runs: list[dict[str, Figures]] = []
    with lab.database(topics) as environment:
        api, sent = Api(lab, environment), 0
        for number in range(options.runs):
            figures = _post(api, sent, QUICK_SECONDS if options.quick else SECONDS)
            sent += int(figures["requests"])
            runs.append({"batches": figures})
            say_run(number, "batches", figures)
        api.stop()
        _check(lab, environment, topics, sent * BATCH)
    lab.drop_topics(topics)
    return {"batch": BATCH, "clients": CLIENTS, "runs": runs, "median": medians(runs)}


def _post(api: Api, first: int, seconds: float) -> Figures:
    figures = api.ask(
        kind="post",
        clients=CLIENTS,
        seconds=seconds,
        path=PATH,
        batch=BATCH,
        devices=DEVICES,
        start=last_day().isoformat(),
        first=first,
    )
    readings_s = figures["requests_s"] * BATCH
    api_cpu_us = figures["api_cpu_ms"] * 1000 / BATCH
    return {"readings_s": readings_s, **figures, "api_cpu_us_a_reading": api_cpu_us}


def _check(lab: Lab, environment: Environment, topics: dict[str, str], readings: int) -> None:
    drain(lab, environment, Backlog(topics, readings, readings, ends=ends(lab, topics)))
    check_books(lab, environment, read=readings, stored=readings)
