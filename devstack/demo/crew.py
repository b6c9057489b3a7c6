"""The demo's processes: two workers, the API and the fleet, started in order and watched."""

import json
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx

from devstack.demo.child import Child, output_of
from devstack.demo.interrupt import Interrupted
from devstack.demo.services import Services
from devstack.messages import DevstackError, say
from devstack.processes import wait_until

WORKERS = 2
READY_LIMIT_S = 120.0
MIGRATE_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
HTTP_TIMEOUT_S = 10.0
METRICS_PORT_LINE = re.compile(r"metrics and health on port (\d+)")


class Crew:
    """Everything that works between the fleet's gateways and the API's answers."""

    def __init__(self, services: Services, app_port: int) -> None:
        self._services = services
        self.url = f"http://127.0.0.1:{app_port}"
        self.environment = services.environment | {
            "APP_PORT": str(app_port),
            "METRICS_PORT": "0",
            "ENERGY_READING": "interval",
        }
        self.api = httpx.Client(base_url=self.url, timeout=HTTP_TIMEOUT_S)
        self.metrics_urls: list[str] = []
        self._members: list[Child] = []
        self._workers: list[Child] = []
        self._fleet: FleetProcess | None = None

    def start(self) -> None:
        """Migrate, then start all; returns once all are ready."""
        status, _ = output_of(
            "the migration",
            ["sql", "migrate"],
            self.environment,
            self._log("migrate"),
            MIGRATE_LIMIT_S,
        )
        if status:
            tail = self._log("migrate").read_text(encoding="utf-8", errors="replace").strip()
            raise DevstackError(f"the migration failed\n{tail}")
        for number in range(1, WORKERS + 1):
            self._workers.append(self._launch(f"worker-{number}", ["ingest_worker"]))
        self._launch("api", ["api"])
        say(f"starting {WORKERS} workers and the API")
        for worker in self._workers:
            self.metrics_urls.append(self._metrics_url(worker))
        for url in (*self.metrics_urls, self.url):
            self._await_ready(url)

    def check(self) -> None:
        """Raises DevstackError when one of them ended, the fleet apart."""
        for member in self._members:
            member.check()

    def stop(self) -> None:
        """Ends all, side by side; a fleet that still runs has nothing more to say."""
        if self._fleet:
            self._fleet.child.end(0)
        for member in self._members:
            member.ask_to_stop()
        for member in self._members:
            member.end(STOP_LIMIT_S)
        self.api.close()

    def logs(self) -> str:
        """The tails of all logs."""
        return "\n".join(f"{one.name} said last:\n{one.log_tail()}" for one in self._members)

    def launch_fleet(self, arguments: list[str]) -> "FleetProcess":
        """Start the fleet."""
        command = ["devstack", "fleet", *arguments]
        self._fleet = FleetProcess(
            Child("fleet", command, self.environment, self._log("fleet"), piped=True)
        )
        return self._fleet

    def reconcile(self, *options: str) -> tuple[int, str]:
        """The status and output of `ingest_worker reconcile`."""
        return output_of(
            "reconcile",
            ["ingest_worker", "reconcile", *options],
            self.environment,
            self._log("reconcile"),
            READY_LIMIT_S,
        )

    def reconcile_log(self) -> str:
        """What it said beside its output, the last time included."""
        return self._log("reconcile").read_text(encoding="utf-8", errors="replace").strip()

    def ask(self, path: str, **parameters: str) -> Any:
        """What the API answers. Raises httpx.HTTPError."""
        return self.api.get(path, params=parameters).raise_for_status().json()

    def _launch(self, name: str, arguments: list[str]) -> Child:
        child = Child(name, arguments, self.environment, self._log(name))
        self._members.append(child)
        return child

    def _log(self, name: str) -> Path:
        return self._services.directory / f"{name}.log"

    def _metrics_url(self, worker: Child) -> str:
        def port() -> str | None:
            self.check()
            text = worker.log_path.read_text(encoding="utf-8", errors="replace")
            found = METRICS_PORT_LINE.search(text)
            return found and found[1]

        if not wait_until(lambda: port() is not None, READY_LIMIT_S):
            raise DevstackError(f"{worker.name} does not start\n{worker.log_tail()}")
        return f"http://127.0.0.1:{port()}"

    def _await_ready(self, url: str) -> None:
        def ready() -> bool:
            self.check()
            with suppress(httpx.HTTPError):
                return self.api.get(f"{url}/health/ready").status_code == httpx.codes.OK
            return False

        if not wait_until(ready, READY_LIMIT_S):
            raise DevstackError(f"not ready within {READY_LIMIT_S:.0f} s: {url}\n{self.logs()}")


class FleetProcess:
    """The fleet in a process of its own, and the last it said."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.said: dict[str, Any] = {"sent": 0, "time": None, "live": False}
        assert child.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(child.process.stdout,))
        self._reader.start()

    def truth(self, limit_s: float) -> dict[str, Any]:
        """What it knows it sent; it must have been asked to stop.

        Raises Interrupted when that came before it had begun, DevstackError when it failed.
        """
        status = self.child.end(limit_s)
        if status == -signal.SIGTERM:  # it takes signals its own way before it sends anything
            raise Interrupted
        self._reader.join(limit_s)
        if status or "streams" not in self.said:
            raise DevstackError(f"the fleet failed, status {status}\n{self.child.log_tail()}")
        return self.said

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            self.said = json.loads(line)
        lines.close()
