"""A real Prometheus scrapes real processes: each fault makes its alert fire, and mending ends it.

Rules and configuration are those that are shipped, with other targets and with all durations a
hundred-and-twentieth. What the runbook has an operator ask is asked of the same processes.
"""

import re
from pathlib import Path
from typing import Any

import httpx
import yaml

from devstack.stack import Stack
from sql import locks
from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.connections import connect
from tests.kafka import send
from tests.keys import bearer, make_key
from tests.probes import ask, port_of
from tests.prometheus import RULE_FILES, Prometheus, prometheus
from tests.readings import meter_value
from tests.workers import ROOT, WorkerProcess, counted, wait_until

CONFIGURATION = ROOT / "deploy" / "prometheus" / "prometheus.production.yml"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
FASTER = 120
DURATION = re.compile(r"(?<=[\[ ])(\d+)([mhd])(?=[\] )\n])")
UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
EVERY = {"worker": "1s", "api": "4s"}
"""While a service is away, the API's answer takes up to 3 s."""
TOKEN = "of-prometheus"
URL = re.compile(r"http://(API|WORKER)(/[\w/]+)")
QUESTION = re.compile(r"(?:`|^      )((?:SELECT|DELETE)\b[^`;]+)", re.MULTILINE)
LATE, POISON = ("EnergyHousekeepingLate", "rollups"), "EnergyRejectsAboveUsual"
AWAY = {("EnergySourceAway", "postgresql"), ("EnergyWorkerNotReady", None)}
GONE = ("EnergyNoWorker", None)


def faster(directory: Path) -> list[Path]:
    """The rules, with `for` and all ranges so much shorter."""

    def shortened(found: re.Match[str]) -> str:
        return f"{max(1, int(found[1]) * UNIT_S[found[2]] // FASTER)}s"

    files = []
    for file in RULE_FILES:
        files.append(directory / file.name)
        files[-1].write_text(DURATION.sub(shortened, file.read_text()))
    return files


def scraped(directory: Path, secrets: dict[str, str], targets: dict[str, str]) -> dict[str, Any]:
    """What prometheus.production.yml says of these jobs, with other targets and these secrets."""
    shipped = yaml.safe_load(CONFIGURATION.read_text())
    jobs = {job["job_name"]: job for job in shipped["scrape_configs"]}
    for name, secret in secrets.items():
        (directory / name).write_text(f"{secret}\n")
    scrapes = []
    for name, target in targets.items():
        secret = Path(jobs[name]["authorization"]["credentials_file"]).name
        scrapes.append(
            {
                "job_name": name,
                "authorization": {"credentials_file": str(directory / secret)},
                "scrape_interval": EVERY[name],
                "scrape_timeout": EVERY[name],
                "static_configs": [{"targets": [target]}],
            }
        )
    return {"scrape_configs": scrapes}


def firing(server: Prometheus) -> set[tuple[str, str | None]]:
    """The names of the alerts that fire, each with what it is about."""
    return {
        (one["alertname"], one.get("source") or one.get("duty") or one.get("topic"))
        for one in server.alerts()
    }


def is_well(server: Prometheus) -> bool:
    """Whether no alert fires or is about to, with both processes scraped."""
    return is_scraped(server) and not server.alerts() and not server.alerts("pending")


def is_scraped(server: Prometheus) -> bool:
    both = "job:energy_workers_up:sum + on () job:energy_apis_up:sum == 2"
    return bool(server.query(both))


def test_faults_fire_their_alerts_and_mending_ends_them(stack: Stack, tmp_path: Path) -> None:
    environment = fresh_environment(stack.environment) | {"METRICS_TOKEN": TOKEN}
    key = make_key(environment, "metrics")["key"]
    with (
        ApiProcess(environment | {"APP_AUTH": "keys"}) as api,
        WorkerProcess(environment) as worker,
    ):
        send(environment, *(meter_value(f"M{n}") for n in range(50)))
        port, where = port_of(worker), api.http.base_url
        targets = {"worker": f"127.0.0.1:{port}", "api": f"{where.host}:{where.port}"}
        secrets = {"metrics_token": TOKEN, "metrics_key": key}
        settings = scraped(tmp_path, secrets, targets)
        with prometheus({}, rules=faster(tmp_path), settings=settings) as server:
            wait_until(lambda: is_scraped(server), "both are scraped")
            wait_until(lambda: counted(environment)["stored"] == 50, "all is stored")
            the_runbook_s_questions_have_answers(environment, api, worker)
            wait_until(lambda: is_well(server), "all is well")
            a_flood_of_poison_and_a_stuck_housekeeper(environment, server)
            a_frozen_postgres_and_a_dead_worker(stack, worker, server)
            with WorkerProcess(environment | {"METRICS_PORT": str(port)}):
                wait_until(lambda: is_well(server), "all is well again")


def the_runbook_s_questions_have_answers(
    environment: dict[str, str], api: ApiProcess, worker: WorkerProcess
) -> None:
    operator = bearer(make_key(environment, "operator"))
    for process, path in sorted(set(URL.findall(RUNBOOK))):
        if process == "API":
            assert api.http.get(path, headers=operator).status_code == httpx.codes.OK, path
        else:
            assert ask(worker, path, Authorization=f"Bearer {TOKEN}")[0] == httpx.codes.OK, path
    questions = QUESTION.findall(RUNBOOK)
    assert len(questions) > 7
    with connect(environment) as connection:
        for question in questions:
            connection.execute(f"EXPLAIN {question.replace('PID', '0')}".encode())


def a_flood_of_poison_and_a_stuck_housekeeper(
    environment: dict[str, str], server: Prometheus
) -> None:
    """Whoever holds the lock does nothing, and did nothing for eleven minutes."""
    topic = environment["KAFKA_METER_TOPIC"]
    with connect(environment) as stuck:
        wait_until(lambda: locks.try_lock(stuck, locks.HOUSEKEEPING), "the lock is free")
        stuck.execute(
            "UPDATE housekeeping_duties SET last_success_at = now() - interval '11 min'"
            " WHERE duty = 'rollups'"
        )
        send(environment, *(b"junk" for _ in range(500)))
        wait_until(lambda: (POISON, topic) in firing(server), "too much is rejected")
        wait_until(lambda: LATE in firing(server), "housekeeping is late")


def a_frozen_postgres_and_a_dead_worker(
    stack: Stack, worker: WorkerProcess, server: Prometheus
) -> None:
    stack.service("postgres").freeze()
    try:
        wait_until(lambda: firing(server) >= AWAY, "PostgreSQL is away")
        worker.kill()
        wait_until(lambda: GONE in firing(server), "no worker")
    finally:
        stack.service("postgres").thaw()
    assert "EnergyPartitionUnread" not in {name for name, _ in firing(server)}
