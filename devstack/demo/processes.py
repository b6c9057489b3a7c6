"""The demo's processes: two workers, the API and the fleet."""

import json
import re
import signal
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import httpx

from devstack.demo.child import Child, output_of, read_log
from devstack.demo.services import Services
from devstack.errors import DevstackError, Interrupted
from devstack.messages import say
from devstack.processes import wait_until

WORKERS = 2
READY_LIMIT_S = 120.0
MIGRATE_LIMIT_S = 60.0
STOP_LIMIT_S = 20.0
HTTP_TIMEOUT_S = 10.0
METRICS_PORT_LINE = re.compile(r"metrics and health on port (\d+)")


class DemoProcesses:
    """Starts the processes in order, watches them and ends them."""

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
        self._children: list[Child] = []
        """The workers and the API."""
        self._workers: list[Child] = []
        self._fleet: FleetProcess | None = None

    def start(self) -> None:
        """Migrate the database, then start workers and API; return once all are ready.

        Raises DevstackError, with the end of the log, when one does not get ready.
        """
        status, _ = output_of(
            "the migration",
            ["sql", "migrate"],
            self.environment,
            self._log("migrate"),
            MIGRATE_LIMIT_S,
        )
        if status:
            raise DevstackError(f"the migration failed\n{read_log(self._log('migrate'))}")
        for number in range(1, WORKERS + 1):
            self._workers.append(self._launch(f"worker-{number}", ["ingest_worker"]))
        self._launch("api", ["api"])
        say(f"starting {WORKERS} workers and the API")
        for worker in self._workers:
            self.metrics_urls.append(self._metrics_url(worker))
        for url in (*self.metrics_urls, self.url):
            self._await_ready(url)

    def check(self) -> None:
        """Raise DevstackError when a worker or the API has ended."""
        for child in self._children:
            child.check()

    def stop(self) -> None:
        """Kill the fleet if it still runs, then stop the others at the same time."""
        if self._fleet:
            self._fleet.child.end(0)
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            child.end(STOP_LIMIT_S)
        self.api.close()

    def logs(self) -> str:
        """The last lines of every log."""
        return "\n".join(f"{one.name} said last:\n{one.log_tail()}" for one in self._children)

    def launch_fleet(self, arguments: list[str]) -> "FleetProcess":
        """Start the fleet with these arguments; what it prints is read as it comes."""
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
        """What `reconcile` has logged so far."""
        return read_log(self._log("reconcile"))

    def ask(self, path: str, **parameters: str) -> Any:
        """The API's answer. Raises httpx.HTTPError."""
        return self.api.get(path, params=parameters).raise_for_status().json()

    def _launch(self, name: str, arguments: list[str]) -> Child:
        child = Child(name, arguments, self.environment, self._log(name))
        self._children.append(child)
        return child

    def _log(self, name: str) -> Path:
        return self._services.directory / f"{name}.log"

    def _metrics_url(self, worker: Child) -> str:
        def port() -> str | None:
            self.check()
            found = METRICS_PORT_LINE.search(read_log(worker.log_path))
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
    """The fleet's process and `said`, the last JSON object it printed."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.said: dict[str, Any] = {"sent": 0, "time": None, "live": False}
        assert child.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(child.process.stdout,))
        self._reader.start()

    def truth(self, limit_s: float) -> dict[str, Any]:
        """The ground truth that it prints at its end; it must have been asked to stop.

        Raises DevstackError when the fleet failed, and Interrupted when it was stopped before it
        had begun: it installs its signal handler before it sends anything.
        """
        status = self.child.end(limit_s)
        if status == -signal.SIGTERM:
            raise Interrupted
        self._reader.join(limit_s)
        if status or "streams" not in self.said:
            raise DevstackError(f"the fleet failed, status {status}\n{self.child.log_tail()}")
        return self.said

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            self.said = json.loads(line)
        lines.close()
