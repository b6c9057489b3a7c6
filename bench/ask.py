"""ask: a vehicle's performance over 24 hours, and the fleet's, on a full day of the whole fleet.

Cold means that PostgreSQL has just started, that its files are out of the page cache, and that each
vehicle is asked for once. Warm means vehicles that were asked for before; they are asked for again
while readings come in. A worker runs all the time, so its housekeeping is part of the figures.
"""

import json
import os
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from bench import day
from bench.apis import Api
from bench.backlog import ends, last_day
from bench.checks import check_books
from bench.draining import start_workers
from bench.errors import BenchError
from bench.figures import Figures, medians
from bench.lab import Environment, Lab
from bench.live import WARM_UP_S, start_load
from bench.messages import say
from bench.options import Options
from bench.readings import device_ids
from bench.usage import peak_rss_mb
from bench.watching import Watch
from schemas.streams import VEHICLE

COLD_VEHICLES = 200
WARM_VEHICLES = 500
CLIENTS = 16
SECONDS, QUICK_SECONDS = 10.0, 4.0
READINGS_COMING_IN_S = 5_000


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """Load the day, then ask for its figures; return the runs and the medians over them."""
    topics = lab.topics()
    start = last_day()
    with lab.database(topics) as environment:
        loaded = day.load(lab, environment, options, start)
        say(f"loaded: {', '.join(f'{name} {value:,.4g}' for name, value in loaded.items())}")
        day.add_sessions(lab, environment, options.day_devices, start)
        (worker,) = start_workers(lab, environment)
        settled = day.settle(lab, environment)
        say(f"settled: {settled}")
        window = f"startTime={_iso(start)}&endTime={_iso(start + timedelta(days=1))}"
        paths = [
            f"/v1/analytics/performance/{vehicle_id}?{window}"
            for vehicle_id in device_ids(VEHICLE, options.day_devices)
        ]
        fleet = f"/v1/analytics/fleet?{window}"
        runs = [_quiet(lab, environment, paths, fleet, options) for _ in range(options.runs)]
        busy_runs, sent = _busy(lab, environment, paths, options)
        with Watch(lab, environment, ends(lab, topics)) as watch:
            watch.until_done([worker])
        peak = peak_rss_mb(worker.process.pid)
        lab.stop(worker)
        if options.load == "kafka":
            total = int(loaded["readings"]) + sent
            check_books(lab, environment, read=total, stored=total)
    lab.drop_topics(topics)
    return {
        "load": loaded,
        "settled": settled,
        "clients": CLIENTS,
        "runs": runs,
        "busy_runs": busy_runs,
        "quiet": medians(runs),
        "busy": medians(busy_runs),
        "peak_rss_mb": peak,
    }


def _quiet(
    lab: Lab, environment: Environment, paths: list[str], fleet: str, options: Options
) -> dict[str, Figures]:
    """Ask cold, then warm with one client and with many, while no readings come in."""
    restart_cold(lab)
    api = Api(lab, environment)
    cold = paths[-COLD_VEHICLES:]
    figures = {"cold": api.ask(kind="get", clients=1, seconds=600, paths=cold, most=len(cold))}
    _check_answer(api, paths[0])
    figures |= _ask_warm(api, paths[:WARM_VEHICLES], options)
    _check_fleet(api, fleet, options.day_devices)
    figures["fleet"] = api.ask(kind="get", clients=1, seconds=QUICK_SECONDS, paths=[fleet])
    api.stop()
    say_asked("quiet", figures)
    return figures


def _busy(
    lab: Lab, environment: Environment, paths: list[str], options: Options
) -> tuple[list[dict[str, Figures]], int]:
    """Ask warm while readings come in; return the runs and the number of those readings."""
    api = Api(lab, environment)
    seconds = QUICK_SECONDS if options.quick else SECONDS
    runs, sent = [], 0
    for _ in range(options.runs):
        lasts_s = 3 * seconds + 2 * WARM_UP_S
        load = start_load(lab, environment, READINGS_COMING_IN_S, lasts_s, options.devices)
        runs.append(_ask_warm(api, paths[:WARM_VEHICLES], options))
        sent += json.loads(lab.output(load))["sent"]
        say_asked("with readings coming in", runs[-1])
    api.stop()
    return runs, sent


def _ask_warm(api: Api, paths: list[str], options: Options) -> dict[str, Figures]:
    seconds = QUICK_SECONDS if options.quick else SECONDS
    api.ask(kind="get", clients=2, seconds=seconds, paths=paths, most=len(paths))
    return {
        "one": api.ask(kind="get", clients=1, seconds=seconds, paths=paths),
        "many": api.ask(kind="get", clients=CLIENTS, seconds=seconds, paths=paths),
    }


def restart_cold(lab: Lab) -> None:
    """Restart PostgreSQL with none of its files in the page cache."""
    lab.postgres.stop()
    for path in (lab.postgres.directory / "base").rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                file = os.open(path, os.O_RDONLY)
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(file)
    lab.postgres.start()


def say_asked(when: str, figures: dict[str, Figures]) -> None:
    """Print the latencies of a run in one line."""
    texts = [
        f"{name} p50 {found['p50_ms']:.1f} p99 {found['p99_ms']:.1f} ms {found['requests_s']:.0f}/s"
        for name, found in figures.items()
    ]
    say(f"performance, {when}: {'; '.join(texts)}")


def _check_answer(api: Api, path: str) -> None:
    answer = api.get(path)
    metrics, quality = answer["metrics"], answer["coverage"]["quality"]
    found = (metrics["readingCount"], metrics["chargingSessions"], quality)
    if found != (day.DAY_MINUTES, len(day.SESSIONS), "complete"):
        raise BenchError(f"the figure is void: {path} answers {found}")


def _check_fleet(api: Api, path: str, vehicles: int) -> None:
    answer = api.get(path)
    found = (answer["vehicleCount"], answer["coverage"]["quality"])
    if found != (vehicles, "complete"):
        raise BenchError(f"the figure is void: {path} answers {found}")


def _iso(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
