"""The API as a process under test, and the latencies that its clients see."""

import json
import socket
import time
from typing import Any

import httpx

from bench.errors import BenchError
from bench.figures import quantile
from bench.lab import Environment, Lab
from bench.usage import cpu_s
from devstack.demo.child import Child

READY_WITHIN_S = 60.0
ASK_EVERY_S = 0.1


class Api:
    """A running `python -m api` that is ready; `stop` ends it."""

    def __init__(self, lab: Lab, environment: Environment) -> None:
        self._lab = lab
        self._environment = environment
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self.process: Child = lab.start(["api"], environment | {"APP_PORT": str(self.port)})
        self._wait()

    def stop(self) -> None:
        """End the process."""
        self._lab.stop(self.process)

    def get(self, path: str) -> Any:
        """The decoded answer to one request."""
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=READY_WITHIN_S)
        return answer.raise_for_status().json()

    def ask(self, *, clients: int, seconds: float, **wanted: Any) -> dict[str, float]:
        """The latencies and the rate of so many clients, which run in a process of their own.

        `wanted` is what bench.client reads.
        """
        order = {"port": self.port, "clients": clients, "seconds": seconds, "most": 10**9, **wanted}
        cpu_before = cpu_s(self.process.process.pid)
        output = self._lab.run(["bench.client", json.dumps(order)], self._environment)
        used = cpu_s(self.process.process.pid) - cpu_before
        seen = json.loads(output)
        latencies = seen["latencies_ms"]
        return {
            "requests": seen["requests"],
            "requests_s": seen["requests"] / seen["seconds"],
            "p50_ms": quantile(latencies, 0.5),
            "p99_ms": quantile(latencies, 0.99),
            "max_ms": latencies[-1],
            "api_cpu_ms": used * 1000 / seen["requests"],
        }

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            self.process.check()
            try:
                if self.get("/health")["status"] == "healthy":
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise BenchError(f"the API is not ready\n{self.process.log_tail()}")
            time.sleep(ASK_EVERY_S)
