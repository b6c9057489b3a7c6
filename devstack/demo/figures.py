"""What the live summary shows, read where users read it: from the API and the workers' metrics."""

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from devstack.demo.processes import DemoProcesses, FleetProcess

AGE = "energy_ingest_record_age_seconds"
VEHICLES_A_LOOK = 6


@dataclass
class DemoFigures:
    """The last known state; None stands for what is not known yet."""

    sent: int = 0
    simulated_time: str | None = None
    live: bool = False
    read: int = 0
    stored: int = 0
    duplicate: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    lag: int | None = None
    """Records in Kafka that are not in PostgreSQL yet."""
    age_s: float | None = None
    """Mean age of the records at their commit in PostgreSQL, since the last look."""
    worst: tuple[str, float] | None = None
    """The vehicle with the lowest efficiency over the last 24 hours."""


class Observer:
    """Keeps the figures up to date; what does not answer keeps its last value."""

    def __init__(self, processes: DemoProcesses, vehicle_ids: list[str]) -> None:
        self.figures = DemoFigures()
        self._processes = processes
        self._vehicle_ids = vehicle_ids
        self._turn = 0
        self._efficiencies: dict[str, float] = {}
        self._age_before = (0.0, 0.0)

    def look(self, fleet: FleetProcess) -> DemoFigures:
        """Ask for everything once; return the figures as of now."""
        said = fleet.said
        self.figures.sent = said["sent"]
        if "time" in said:
            self.figures.simulated_time, self.figures.live = said["time"], said["live"]
        with suppress(httpx.HTTPError):
            self._take_stats(self._processes.ask("/v1/telemetry/stats"))
            self._take_age()
            self._take_efficiencies()
        return self.figures

    def _take_stats(self, stats: dict[str, Any]) -> None:
        topics, figures = stats["topics"], self.figures
        for name in ("read", "stored", "duplicate"):
            setattr(figures, name, sum(topic[name] for topic in topics))
        figures.rejected = rejected_by_reason(stats)
        figures.lag = lag(stats)

    def _take_age(self) -> None:
        total_s = count = 0.0
        for url in self._processes.metrics_urls:
            text = self._processes.api.get(f"{url}/metrics").text
            for family in text_string_to_metric_families(text):
                if family.name == AGE:
                    total_s += sum(s.value for s in family.samples if s.name == f"{AGE}_sum")
                    count += sum(s.value for s in family.samples if s.name == f"{AGE}_count")
        before_s, before = self._age_before
        if count > before:
            self.figures.age_s = (total_s - before_s) / (count - before)
        self._age_before = (total_s, count)

    def _take_efficiencies(self) -> None:
        """Ask for a few vehicles at each look, for all of them in turn."""
        for _ in range(min(VEHICLES_A_LOOK, len(self._vehicle_ids))):
            vehicle_id = self._vehicle_ids[self._turn % len(self._vehicle_ids)]
            self._turn += 1
            answer = self._processes.ask(f"/v1/analytics/performance/{vehicle_id}")
            if answer["coverage"]["quality"] == "complete":
                self._efficiencies[vehicle_id] = answer["metrics"]["efficiencyRatio"]
        if self._efficiencies:
            self.figures.worst = min(self._efficiencies.items(), key=lambda item: item[1])


def rejected_by_reason(stats: dict[str, Any]) -> dict[str, int]:
    """The rejected readings of all topics together."""
    counts: Counter[str] = Counter()
    for topic in stats["topics"]:
        counts.update(topic["rejected"]["byReason"])
    return counts


def lag(stats: dict[str, Any]) -> int | None:
    """Records of all topics that are not read yet; None while that is not known of one."""
    lags = [topic["lag"] for topic in stats["topics"]]
    return None if None in lags else sum(lags)
