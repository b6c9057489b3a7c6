"""The demo from start to end: services, workers, API, fleet; live figures; and the final check."""

import json
import time
from contextlib import ExitStack, suppress
from typing import Any

import httpx
from rich.console import Console

from devstack.demo.crew import Crew, FleetProcess
from devstack.demo.display import Display
from devstack.demo.figures import Observer, lag, rejected_by_reason
from devstack.demo.interrupt import Interrupt
from devstack.demo.report import print_checks, print_vehicles
from devstack.demo.services import free_port, services
from devstack.demo.verdict import (
    Books,
    Check,
    books,
    check_books,
    check_none_empty,
    check_rejected,
    check_sessions,
    check_vehicles,
    grown,
    vehicle_figures,
)
from devstack.messages import DevstackError, say
from devstack.processes import wait_until
from schemas.settings import Settings, SettingsError, load_settings
from schemas.streams import METER, VEHICLE

DEVICES = 48
"""So many chargers, and so many vehicles."""
ARRAY_SIZE = 50
BACKFILL_H = 24
BACKFILL_WITHIN_S = 12.0
BACKFILL_SHARE = 0.4
"""In a short demo, the share of its time in which the past day is caught up with."""
BACKFILL_LIMIT_S = 120.0
LOOK_EVERY_S = 0.5
FLEET_STOP_LIMIT_S = 60.0
CATCH_UP_LIMIT_S = 60.0


def run(seconds: float | None) -> int:
    """Run it all; returns the exit status. Raises DevstackError, or Interrupted while it starts."""
    try:
        settings = load_settings()
    except SettingsError as error:
        raise DevstackError(str(error)) from None
    good = False
    with Interrupt() as interrupt, ExitStack() as undo:
        undo_all = undo.enter_context(ExitStack())
        undo.callback(interrupt.ignore)
        place = undo_all.enter_context(services())
        crew = Crew(place, free_port(settings.app_port))
        undo_all.callback(crew.stop)
        crew.start()
        prefix = "" if place.own else time.strftime("D%d%H%M%S-")
        good = Demo(crew, settings, interrupt, prefix).run(seconds)
    return 0 if good else 1


class Demo:
    """One run on services and processes that are ready."""

    def __init__(self, crew: Crew, settings: Settings, interrupt: Interrupt, prefix: str) -> None:
        """`prefix` keeps the devices apart from those of other runs."""
        self._crew = crew
        self._interrupt = interrupt
        self._prefix = prefix
        self._group_id = crew.environment.get("KAFKA_GROUP_ID", "energy-ingest")
        self._topics = {
            METER.name: settings.topic(METER),
            VEHICLE.name: settings.topic(VEHICLE),
        }
        self._console = Console(markup=False, emoji=False)

    def run(self, seconds: float | None) -> bool:
        """Live figures until the end, then the verdict: whether everything is as it should be."""
        self._await_caught_up(None)
        before, rejected_before = self._books(), rejected_by_reason(self._stats())
        fleet = self._crew.launch_fleet(self._fleet_arguments(seconds))
        observer = Observer(self._crew, [f"{self._prefix}VH-{n:03}" for n in range(1, DEVICES + 1)])
        with self._interrupt.patient():
            with Display(self._console, self._urls()) as display:
                self._watch(fleet, observer, display, seconds)
                display.show(observer.look(fleet), "stopping the fleet")
            truth = self._stop(fleet)
            self._await_caught_up(truth["sent"] + sum(c["read"] for c in before.values()))
            checks = self._check(truth, before, rejected_before)
        good = print_checks(self._console, checks)
        if not good:
            say(self._crew.logs())
        return good

    def _watch(
        self, fleet: FleetProcess, observer: Observer, display: Display, seconds: float | None
    ) -> None:
        begun = time.monotonic()
        while not self._interrupt.asked:
            self._crew.check()
            fleet.child.check()
            figures = observer.look(fleet)
            display.show(figures, "live" if figures.live else f"the last {BACKFILL_H} hours")
            passed_s = time.monotonic() - begun
            if seconds and passed_s >= seconds and (figures.live or passed_s > BACKFILL_LIMIT_S):
                return
            wait_until(lambda: self._interrupt.asked, LOOK_EVERY_S)

    def _stop(self, fleet: FleetProcess) -> dict[str, Any]:
        fleet.child.ask_to_stop()
        truth = fleet.truth(FLEET_STOP_LIMIT_S)
        self._console.print(f"the fleet has sent {truth['sent']:,} readings", highlight=False)
        return truth

    def _await_caught_up(self, read: int | None) -> None:
        """Until the workers have read everything, `read` readings in all where that is known."""

        def caught_up() -> bool:
            self._crew.check()
            with suppress(httpx.HTTPError):
                stats = self._stats()
                done = sum(topic["read"] for topic in stats["topics"])
                return lag(stats) == 0 and (read is None or done >= read)
            return False

        if not wait_until(caught_up, CATCH_UP_LIMIT_S):
            say(f"the workers have not caught up within {CATCH_UP_LIMIT_S:.0f} s")

    def _check(
        self, truth: dict[str, Any], before: Books, rejected_before: dict[str, int]
    ) -> list[Check]:
        status, table = self._crew.reconcile()
        if status:
            say(f"reconcile ended with status {status}\n{self._crew.reconcile_log()}")
        self._console.print(table, highlight=False, soft_wrap=True, markup=False)
        counted = grown(before, self._books())
        rejected = {
            reason: count - rejected_before.get(reason, 0)
            for reason, count in rejected_by_reason(self._stats()).items()
        }
        window = truth["window"]
        vehicles = [
            vehicle_figures(
                vehicle,
                self._crew.ask(
                    f"/v1/analytics/performance/{vehicle['vehicleId']}",
                    startTime=window["start"],
                    endTime=window["end"],
                ),
            )
            for vehicle in truth["vehicles"]
        ]
        print_vehicles(self._console, vehicles)
        return [
            Check(status == 0, "reconcile finds the books and the tables in balance"),
            *check_books(counted, truth, self._topics),
            *([] if self._interrupt.asked else [check_none_empty(counted)]),
            *check_rejected(rejected, truth),
            check_sessions(truth),
            *check_vehicles(vehicles),
        ]

    def _books(self) -> Books:
        _, text = self._crew.reconcile("--quick", "--json")
        return books(json.loads(text), self._group_id)

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._crew.ask("/v1/telemetry/stats")
        return stats

    def _urls(self) -> dict[str, str]:
        urls = {
            "page": f"{self._crew.url}/",
            "API": f"{self._crew.url}/docs",
            "health": f"{self._crew.url}/health",
            "books": f"{self._crew.url}/v1/telemetry/stats",
            "a vehicle": f"{self._crew.url}/v1/analytics/performance/{self._prefix}VH-001",
        }
        for number, url in enumerate(self._crew.metrics_urls, 1):
            urls[f"worker {number}"] = f"{url}/metrics"
        return urls

    def _fleet_arguments(self, seconds: float | None) -> list[str]:
        within_s = min(BACKFILL_WITHIN_S, (seconds or BACKFILL_LIMIT_S) * BACKFILL_SHARE)
        return [
            *("--meters", str(DEVICES), "--vehicles", str(DEVICES), "--prefix", self._prefix),
            *("--faults", "all", "--arrays", str(ARRAY_SIZE), "--mixed"),
            *("--backfill-h", str(BACKFILL_H), "--speed", str(BACKFILL_H * 3600 / within_s)),
            *("--live-interval-s", "1", "--api", self._crew.url, "--progress", "json"),
        ]
