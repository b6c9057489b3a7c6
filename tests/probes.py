"""What a worker process answers on its own port, and what its log has said."""

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.workers import RUNS, WorkerProcess


def port_of(worker: WorkerProcess) -> int:
    """The worker's own port, once it listens there."""
    worker.says(RUNS)
    return int(worker.log.split(f"{RUNS} ")[1].split()[0])


def ask(worker: WorkerProcess, path: str, **headers: str) -> tuple[int, str]:
    """Status and body of a GET on the worker's own port."""
    request = urllib.request.Request(f"http://127.0.0.1:{port_of(worker)}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def readiness(worker: WorkerProcess) -> dict[str, Any]:
    """The body of /health/ready."""
    body: dict[str, Any] = json.loads(ask(worker, "/health/ready")[1])
    return body


def reasons(worker: WorkerProcess) -> dict[str, str]:
    """Why it is not ready, by name; none when it is."""
    found: dict[str, str] = readiness(worker)["reasons"]
    return found


def degraded(worker: WorkerProcess) -> dict[str, str]:
    """What should be looked after, by name."""
    found: dict[str, str] = readiness(worker).get("degraded", {})
    return found


def said(worker: WorkerProcess, text: str) -> int:
    """How often its log holds the text."""
    return worker.log.count(text)


def metric(worker: WorkerProcess, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric, by the values of their labels in the order of the labels' names."""
    _, text = ask(worker, "/metrics")
    return {
        tuple(sample.labels[label] for label in sorted(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }
