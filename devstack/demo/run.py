"""One run of the demo: the fleet sends, live figures are shown, and the end is checked."""

import json
import time
from contextlib import suppress
from typing import Any

import httpx
from rich.console import Console

from devstack.demo.checks import (
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
from devstack.demo.display import Display
from devstack.demo.figures import Observer, lag, rejected_by_reason
from devstack.demo.processes import DemoProcesses, FleetProcess
from devstack.demo.report import print_checks, print_vehicles
from devstack.interrupt import Interrupt
from devstack.messages import say
from devstack.processes import wait_until
from schemas.settings import Settings

DEVICES = 48
"""The number of chargers, and that of vehicles."""
ARRAY_SIZE = 50
BACKFILL_H = 24
BACKFILL_WITHIN_S = 12.0
BACKFILL_SHARE = 0.4
"""The share of a short demo's time in which the fleet sends the readings of the past day."""
BACKFILL_LIMIT_S = 120.0
LOOK_EVERY_S = 0.5
FLEET_STOP_LIMIT_S = 60.0
CATCH_UP_LIMIT_S = 60.0


class Demo:
    """One run on services and processes that are ready."""

    def __init__(
        self, processes: DemoProcesses, settings: Settings, interrupt: Interrupt, prefix: str
    ) -> None:
        """Device ids begin with `prefix`, which keeps them apart from those of other runs."""
        self._processes = processes
        self._interrupt = interrupt
        self._prefix = prefix
        default = Settings.model_fields["kafka_group_id"].default
        self._group_id = processes.environment.get("KAFKA_GROUP_ID", default)
        self._topics = {stream.name: topic for topic, stream in settings.streams.items()}
        self._console = Console(markup=False, emoji=False)

    def run(self, seconds: float | None) -> bool:
        """Show live figures until the end, then check it; return whether every check holds."""
        self._await_caught_up(None)
        before, rejected_before = self._books(), rejected_by_reason(self._stats())
        fleet = self._processes.launch_fleet(self._fleet_arguments(seconds))
        observer = Observer(
            self._processes, [f"{self._prefix}VH-{n:03}" for n in range(1, DEVICES + 1)]
        )
        with self._interrupt.patient():
            with Display(self._console, self._urls()) as display:
                self._watch(fleet, observer, display, seconds)
                display.show(observer.look(fleet), "stopping the fleet")
            truth = self._stop(fleet)
            self._await_caught_up(truth["sent"] + sum(c["read"] for c in before.values()))
            checks = self._check(truth, before, rejected_before)
        good = print_checks(self._console, checks)
        if not good:
            say(self._processes.logs())
        return good

    def _watch(
        self, fleet: FleetProcess, observer: Observer, display: Display, seconds: float | None
    ) -> None:
        begun = time.monotonic()
        while not self._interrupt.asked:
            self._processes.check()
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
        """Wait until there is no lag and, where it is known, `read` readings were read in all."""

        def caught_up() -> bool:
            self._processes.check()
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
        status, table = self._processes.reconcile()
        if status:
            say(f"reconcile ended with status {status}\n{self._processes.reconcile_log()}")
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
                self._processes.ask(
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
        _, text = self._processes.reconcile("--quick", "--json")
        return books(json.loads(text), self._group_id)

    def _stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self._processes.ask("/v1/telemetry/stats")
        return stats

    def _urls(self) -> dict[str, str]:
        urls = {
            "page": f"{self._processes.url}/",
            "API": f"{self._processes.url}/docs",
            "health": f"{self._processes.url}/health",
            "books": f"{self._processes.url}/v1/telemetry/stats",
            "a vehicle": f"{self._processes.url}/v1/analytics/performance/{self._prefix}VH-001",
        }
        for number, url in enumerate(self._processes.metrics_urls, 1):
            urls[f"worker {number}"] = f"{url}/metrics"
        return urls

    def _fleet_arguments(self, seconds: float | None) -> list[str]:
        within_s = min(BACKFILL_WITHIN_S, (seconds or BACKFILL_LIMIT_S) * BACKFILL_SHARE)
        return [
            *("--meters", str(DEVICES), "--vehicles", str(DEVICES), "--prefix", self._prefix),
            *("--faults", "all", "--arrays", str(ARRAY_SIZE), "--mixed"),
            *("--backfill-h", str(BACKFILL_H), "--speed", str(BACKFILL_H * 3600 / within_s)),
            *("--live-interval-s", "1", "--api", self._processes.url, "--progress", "json"),
        ]
