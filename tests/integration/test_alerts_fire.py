"""A real Prometheus scrapes real processes: each fault makes its alert fire, and mending ends it.

The rules are those that are shipped, with all their durations a sixtieth.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devstack.stack import Stack
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.connections import connect
from tests.kafka import send
from tests.probes import port_of
from tests.prometheus import Prometheus, prometheus
from tests.readings import meter_value
from tests.unit.test_alert_rules import RULE_FILES
from tests.workers import WorkerProcess, wait_until

FASTER = 60
DURATION = re.compile(r"(?<=[\[ ])(\d+)([mhd])(?=[\] )\n])")
UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
API_EVERY = "4s"
"""While a service is away, the API's answer takes up to 3 s."""


def faster(directory: Path) -> list[Path]:
    """The rules, with `for` and all ranges a sixtieth."""

    def shortened(found: re.Match[str]) -> str:
        return f"{int(found[1]) * UNIT_S[found[2]] // FASTER}s"

    files = []
    for file in RULE_FILES:
        files.append(directory / file.name)
        files[-1].write_text(DURATION.sub(shortened, file.read_text()))
    return files


def scraped(worker: int, api: str) -> dict[str, object]:
    """Where Prometheus finds the worker and the API."""
    jobs = (("worker", f"127.0.0.1:{worker}", "1s"), ("api", api, API_EVERY))
    return {
        "scrape_configs": [
            {
                "job_name": job,
                "scrape_interval": every,
                "scrape_timeout": every,
                "static_configs": [{"targets": [target]}],
            }
            for job, target, every in jobs
        ]
    }


@contextmanager
def watched(rules: list[Path], port: int, api: ApiProcess) -> Iterator[Prometheus]:
    where = f"{api.http.base_url.host}:{api.http.base_url.port}"
    with prometheus({}, rules=rules, settings=scraped(port, where)) as server:
        yield server


def firing(server: Prometheus) -> set[tuple[str, str | None]]:
    """The names of the alerts that fire, each with what it is about."""
    return {
        (one["alertname"], one.get("source") or one.get("duty") or one.get("topic"))
        for one in server.alerts()
    }


def test_faults_fire_their_alerts_and_mending_ends_them(stack: Stack, tmp_path: Path) -> None:
    environment = fresh_environment(stack.environment)
    topic = environment["KAFKA_METER_TOPIC"]
    with ApiProcess(environment) as api, WorkerProcess(environment) as worker:
        port = port_of(worker)
        with watched(faster(tmp_path), port, api) as server:
            wait_until(
                lambda: (
                    server.query("job:energy_workers_up:sum == 1")
                    and server.query("job:energy_apis_up:sum == 1")
                ),
                "both are scraped",
            )
            send(environment, *(meter_value(f"M{n}") for n in range(50)))
            a_flood_of_poison_and_a_duty_that_fails(environment, server, topic)
            a_frozen_postgres(stack, server)
            worker.kill()
            wait_until(lambda: ("EnergyNoWorker", None) in firing(server), "no worker")
            assert ("EnergyPartitionUnread", topic) not in firing(server)
            with WorkerProcess(environment | {"METRICS_PORT": str(port)}):
                wait_until(lambda: firing(server) == set(), "all is well")


def a_flood_of_poison_and_a_duty_that_fails(
    environment: dict[str, str], server: Prometheus, topic: str
) -> None:
    rejects = ("EnergyRejectsAboveUsual", topic)
    failing = ("EnergyHousekeepingFailing", "rollups")
    assert firing(server) == set()
    with connect(environment) as connection:
        connection.execute("ALTER TABLE vehicle_hours RENAME TO somewhere_else")
        connection.commit()
        try:
            send(environment, *(b"junk" for _ in range(500)))
            wait_until(lambda: rejects in firing(server), "too much is rejected")
            wait_until(lambda: failing in firing(server), "a duty fails")
        finally:
            connection.execute("ALTER TABLE somewhere_else RENAME TO vehicle_hours")
            connection.commit()
    wait_until(lambda: firing(server) == set(), "both are over")


def a_frozen_postgres(stack: Stack, server: Prometheus) -> None:
    away = {("EnergySourceAway", "postgresql"), ("EnergyWorkerNotReady", None)}
    stack.service("postgres").freeze()
    try:
        wait_until(lambda: away <= firing(server), "PostgreSQL is away")
    finally:
        stack.service("postgres").thaw()
    wait_until(lambda: firing(server) == set(), "it is back")
