"""Prometheus' exporters of PostgreSQL and of the machine, Debian's, as a test scrapes them."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx

from devstack.ports import LOOPBACK, Ports
from tests.debian import program
from tests.workers import PATIENCE_S, wait_until

POSTGRES, NODE = "prometheus-postgres-exporter", "prometheus-node-exporter"
MISSING = f"these tests need {POSTGRES} and {NODE}: install the packages of these names"


@contextmanager
def exporters(environment: dict[str, str]) -> Iterator[dict[str, list[str]]]:
    """Running ones; yields where each job is scraped."""
    names = ("DB_USERNAME", "DB_PASSWORD", "DB_HOST", "DB_PORT")
    user, password, host, port = (environment[name] for name in names)
    source = f"postgresql://{user}:{password}@{host}:{port}/postgres?sslmode=disable"
    with ExitStack() as undo:
        ports = Ports()
        undo.callback(ports.close)
        found = {}
        for job, package in (("postgres", POSTGRES), ("node", NODE)):
            listen = f"{LOOPBACK}:{ports.take()}"
            undo.enter_context(_running(package, listen, {"DATA_SOURCE_NAME": source}))
            found[job] = [listen]
        yield found


@contextmanager
def _running(package: str, listen: str, variables: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(
        [program(package, package, missing=MISSING), f"--web.listen-address={listen}"],
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: process.poll() is not None or _answers(listen), f"{package} answers")
        assert process.poll() is None, package
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _answers(listen: str) -> bool:
    try:
        return httpx.get(f"http://{listen}/metrics").is_success
    except httpx.TransportError:
        return False
