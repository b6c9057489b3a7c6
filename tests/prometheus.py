"""A real Prometheus that scrapes what a test runs, and what it answers; Debian's, 2.42 or newer."""

import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from devstack.ports import LOOPBACK, Ports
from tests.debian import program
from tests.workers import PATIENCE_S, ROOT, wait_until

RULE_FILES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
MISSING = "these tests need Prometheus: install the package prometheus"


class Prometheus:
    """A running one. Expressions are asked over its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=f"{url}/api/v1", timeout=PATIENCE_S)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector: a dict a sample, with `metric` and `value` [time, text]."""
        answer = self._get("query", query=expression)
        assert answer["resultType"] in ("vector", "scalar"), answer
        found: list[dict[str, Any]] = answer["result"]
        return found

    def alerts(self, state: str = "firing") -> list[dict[str, str]]:
        """The labels of the alerts in that state."""
        return [one["labels"] for one in self._get("alerts")["alerts"] if one["state"] == state]

    def close(self) -> None:
        """Close the client; the server goes on."""
        self._http.close()

    def _get(self, path: str, **parameters: str) -> dict[str, Any]:
        answer = self._http.get(f"/{path}", params=parameters)
        assert answer.status_code == httpx.codes.OK, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


@contextmanager
def prometheus(
    scraped: Mapping[str, Iterable[str]],
    *,
    rules: Iterable[Path] = (),
    settings: Mapping[str, Any] | None = None,
    interval: str = "1s",
) -> Iterator[Prometheus]:
    """A running Prometheus that scrapes `scraped`: by job, its targets as host:port.

    `rules` are files of rules; `settings` further keys of its configuration.
    """
    ports = Ports()
    listen = f"{LOOPBACK}:{ports.take()}"
    configuration = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(file.resolve()) for file in rules],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": list(targets)}]}
            for job, targets in scraped.items()
        ],
        **(settings or {}),
    }
    with tempfile.TemporaryDirectory(prefix="prometheus-") as name:
        directory = Path(name)
        file = directory / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    program("prometheus", "prometheus", missing=MISSING),
                    f"--config.file={file}",
                    f"--storage.tsdb.path={directory / 'data'}",
                    f"--web.listen-address={listen}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        server = Prometheus(f"http://{listen}")
        try:
            wait_until(lambda: process.poll() is not None or _ready(server.url), "it is ready")
            assert process.poll() is None, (directory / "log").read_text()
            yield server
        finally:
            server.close()
            process.terminate()
            process.wait(PATIENCE_S)
            ports.close()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False
