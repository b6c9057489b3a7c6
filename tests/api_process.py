"""The API as an operator runs it, and a client for it."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from devstack.ports import Ports
from tests.rights import API, role
from tests.workers import PATIENCE_S, ROOT, wait_until

CLIENT_TIMEOUT_S = 30.0


class ApiProcess:
    """One `python -m api`; stopped at the end. `http` is a client with its address."""

    def __init__(
        self,
        environment: dict[str, str],
        *,
        ready: bool = True,
        port: int | None = None,
        root: Path = ROOT,
    ) -> None:
        """On `port`, else on one that no other test takes; waits for the services if `ready`.

        `root` has the code: this one, or another release's.
        """
        self._ports = Ports()
        port = port or self._ports.take()
        self._log = tempfile.NamedTemporaryFile(prefix="api-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api"],
            env={**os.environ, **role(environment, API), "APP_PORT": str(port)},
            cwd=root,
            stderr=self._log,
        )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=CLIENT_TIMEOUT_S)
        self._ready = ready

    def __enter__(self) -> Self:
        if self._ready:
            self.says("PostgreSQL at", ": fine")
            self.says("Kafka at", ": fine")
        else:
            self.says("serving on")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log.close()
        self._ports.close()

    @property
    def log(self) -> str:
        """Everything it has said so far."""
        return Path(self._log.name).read_text()

    def says(self, *parts: str) -> None:
        """Wait until one line of its log holds all parts."""

        def found() -> bool:
            assert self.process.poll() is None, self.log
            return any(all(part in line for part in parts) for line in self.log.splitlines())

        try:
            wait_until(found, f"the API says {parts}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def terminate(self) -> int:
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def interrupt(self) -> int:
        """Ctrl-C, by which it ends without its drain of 5 s; returns the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE_S)
