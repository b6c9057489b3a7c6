"""autoscale: the rule by which Kubernetes scales workers, applied to real ones.

Ten minutes of a gateways' traffic wait while it goes on: a controller does what KEDA and the
autoscaler do, by the thresholds and windows of deploy/kubernetes, with a clock SPEED times as fast.
It starts and ends workers, as a cluster would, and looks at the lag where KEDA does: at the offsets
that the group has committed to Kafka.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml

from bench.backlog import backlog_fleet, ends, produce
from bench.checks import check_books
from bench.draining import start_workers
from bench.errors import BenchError
from bench.lab import Environment, Lab
from bench.live import start_load, topics_of
from bench.messages import say
from bench.options import Options
from brokers.connect import connected_admin
from devstack.demo.child import Child

MANIFEST = Path(__file__).parent.parent / "deploy/kubernetes/overlays/production/scaling.yaml"
SPEED = 10
LEAST, MOST = 1, 4
RATE, BACKLOG_MINUTES, QUICK_BACKLOG_MINUTES = 20_000, 10, 1
LOAD_S, QUICK_LOAD_S = 240.0, 90.0
SETTLED_S = 5.0
"""What waits no longer is as fresh as without a backlog."""
LIMIT_S = 900.0
AGE = """
    SELECT coalesce(max(extract(epoch FROM now()) - last_record_ms / 1000.0), 0)::float8
    FROM ingest_offsets WHERE group_id = %s AND topic = ANY (%s)
"""


class Rule(NamedTuple):
    """How replicas follow the lag; times in s."""

    threshold: int
    """Records of a topic for one replica."""
    poll_s: float
    down_window_s: float
    down_period_s: float

    @classmethod
    def of_manifest(cls) -> Self:
        """What the ScaledObject says, SPEED times as fast."""
        documents = yaml.safe_load_all(MANIFEST.read_text())
        (spec,) = (one["spec"] for one in documents if one["kind"] == "ScaledObject")
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        (threshold,) = {int(one["metadata"]["lagThreshold"]) for one in spec["triggers"]}
        (policy,) = down["policies"]
        return cls(
            threshold,
            spec["pollingInterval"] / SPEED,
            down["stabilizationWindowSeconds"] / SPEED,
            policy["periodSeconds"] / SPEED,
        )


@dataclass
class Controller:
    """The autoscaler: up at once, down by one when for a whole window fewer were enough."""

    rule: Rule
    replicas: int = LEAST
    _wanted: deque[tuple[float, int]] = field(default_factory=deque)
    _last_down: float = 0.0

    def decide(self, lag: Mapping[str, int], now: float) -> int:
        """How many replicas there should be, by the lag of each topic."""
        most = max((ceil(records / self.rule.threshold) for records in lag.values()), default=0)
        wanted = min(MOST, max(LEAST, most))
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < now - self.rule.down_window_s:
            self._wanted.popleft()
        highest = max(one for _, one in self._wanted)
        if wanted > self.replicas:
            self.replicas = wanted
        elif highest < self.replicas and now - self._last_down >= self.rule.down_period_s:
            self.replicas -= 1
            self._last_down = now
        return self.replicas


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """What was seen at each look, and how long the backlog took; the books balance at the end."""
    minutes = QUICK_BACKLOG_MINUTES if options.quick else BACKLOG_MINUTES
    fleet = backlog_fleet(options)
    a_minute = fleet.readings // fleet.minutes
    fleet = fleet._replace(minutes=RATE * 60 * minutes // a_minute)
    backlog = produce(lab, fleet, "single")
    seconds = QUICK_LOAD_S if options.quick else LOAD_S
    with lab.database(backlog.topics) as environment:
        load = start_load(lab, environment, RATE, seconds, options.devices)
        seen, workers = _follow(lab, environment, load)
        sent = json.loads(lab.output(load))["sent"]
        for worker in workers:
            lab.stop(worker)
        read = backlog.readings + sent
        check_books(lab, environment, read=read, stored=backlog.distinct + sent)
    lab.drop_topics(backlog.topics)
    fresh = [one["at_s"] for one in seen if one["age_s"] > SETTLED_S]
    return {
        "backlog": backlog.readings,
        "rate": RATE,
        "speed": SPEED,
        "rule": Rule.of_manifest()._asdict(),
        "most_replicas": max(one["replicas"] for one in seen),
        "fresh_after_s": max(fresh, default=0.0),
        "one_again_after_s": seen[-1]["at_s"],
        "seen": seen,
    }


def _follow(
    lab: Lab, environment: Environment, load: Child
) -> tuple[list[dict[str, float]], list[Child]]:
    """Scale until the backlog is gone, the load has ended and one worker is left."""
    rule = Rule.of_manifest()
    controller, seen = Controller(rule), []
    workers = start_workers(lab, environment)
    began = time.monotonic()
    while True:
        now = time.monotonic() - began
        lag = _lag(lab, environment)
        wanted = controller.decide(lag, now)
        while len(workers) < wanted:
            workers.append(lab.start(["ingest_worker"], environment))
        while len(workers) > wanted:
            lab.stop(workers.pop())
        for worker in workers:
            worker.check()
        age_s = _age_s(lab, environment) if sum(lag.values()) else 0.0
        seen.append(
            {"at_s": now, "lag": sum(lag.values()), "replicas": len(workers), "age_s": age_s}
        )
        waits = f"{sum(lag.values()):,} records wait, at most {age_s:.1f} s old"
        say(f"{now:.0f} s: {waits}; {len(workers)} workers")
        if load.process.poll() is not None and not sum(lag.values()) and len(workers) == LEAST:
            return seen, workers
        if now > LIMIT_S:
            raise BenchError("the workers did not come back to one")
        time.sleep(rule.poll_s)


def _lag(lab: Lab, environment: Environment) -> dict[str, int]:
    """What the group has not committed to Kafka yet, by topic."""
    logs = ends(lab, topics_of(environment))

    async def committed() -> Mapping[Any, Any]:
        async with connected_admin(lab.settings) as admin:
            found: Mapping[Any, Any] = await admin.list_consumer_group_offsets(
                environment["KAFKA_GROUP_ID"]
            )
            return found

    offsets = asyncio.run(committed())
    lag: dict[str, int] = {}
    for partition, end in logs.items():
        at = offsets[partition].offset if partition in offsets else 0
        lag[partition.topic] = lag.get(partition.topic, 0) + max(0, end - at)
    return lag


def _age_s(lab: Lab, environment: Environment) -> float:
    """How old the oldest record that waits may be, by Kafka's time."""
    topics = list(topics_of(environment).values())
    with lab.connect(environment) as connection:
        row: Any = connection.execute(AGE, (environment["KAFKA_GROUP_ID"], topics)).fetchone()
    return float(row[0])
