"""The world of one scenario: services that may fail, workers that may die, readings all the while.

with World("workers killed", stack) as world:
    world.start(3)
    world.kill(world.workers[0])
    world.settle()
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

import psycopg

from devstack.stack import Stack
from tests.chaos.gateway import Gateway
from tests.chaos.proxy import LOOPBACK, Proxy
from tests.chaos.report import CampaignFigures
from tests.cluster import prepared
from tests.conftest import fresh_environment
from tests.connections import connect
from tests.truth import Expected, Mix, all_read, assert_holds
from tests.workers import ROOT, WorkerProcess, wait_until

CATCH_UP_S = 120.0
LOG_TAIL_LINES = 25
SEED = 1
READINGS_PER_S = 1_000


class GatewayOptions(TypedDict, total=False):
    """What a scenario may ask of a gateway, see there."""

    rate: int
    seed: int
    streams: Sequence[str]
    mix: Mix
    copies: int
    transactions: bool


class World:
    """A database and topics of its own, a gateway that sends, workers that store."""

    def __init__(
        self,
        name: str,
        services: dict[str, str],
        stack: Stack | None = None,
        *,
        long: bool = False,
        fresh: Callable[[dict[str, str]], dict[str, str]] | None = None,
        **gateway: Unpack[GatewayOptions],
    ) -> None:
        """The database and the topics are on the stack; without one, on the services.

        `fresh` makes them there, when it is not this code that migrates.
        """
        self._fresh = fresh
        self._stack = stack
        self._services = stack.environment if stack else services
        self.long = long
        self.random = random.Random(SEED)
        self.figures = CampaignFigures(name)
        self.workers: list[WorkerProcess] = []
        self._options = gateway
        self._asking: psycopg.Connection[Any] | None = None
        self._undo = ExitStack()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            brokers = len(self._stack.brokers()) if self._stack else 1
            self.environment = (
                self._fresh(self._services)
                if self._fresh
                else fresh_environment(self._services, replicas=brokers)
            )
            port = int(self.environment["DB_PORT"])
            self.proxy = undo.enter_context(Proxy(self.environment["DB_HOST"], port))
            self.worker_environment = {
                **self.environment,
                "DB_HOST": LOOPBACK,
                "DB_PORT": str(self.proxy.port),
                "BATCH_SIZE": "5000",
            }
            self._undo = undo.pop_all()
            self.gateways: list[Gateway] = []
            self.gateway = self.open_gateway(**self._options)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.figures.seconds = time.monotonic() - self._began
        self.figures.readings = sum(gateway.readings for gateway in self.gateways)
        for number, worker in enumerate(() if self.figures.held else self.workers):
            tail = "\n".join(worker.log.splitlines()[-LOG_TAIL_LINES:])
            print(f"--- worker {number} of {self.figures.scenario!r}:\n{tail}")
        for worker in self.workers:
            worker.__exit__(None, None, None)
        self._drop_connection()
        self._undo.close()

    @property
    def stack(self) -> Stack:
        """The services of this world alone."""
        assert self._stack, "a scenario that breaks services names the stack they are of"
        return self._stack

    def open_gateway(self, **options: Unpack[GatewayOptions]) -> Gateway:
        """One more gateway; no two send the same stream."""
        defaults = GatewayOptions(rate=READINGS_PER_S, seed=SEED)
        gateway = Gateway(self.environment, **(defaults | options))
        self.gateways.append(self._undo.enter_context(gateway))
        return gateway

    @property
    def expected(self) -> dict[str, Expected]:
        """What each topic must become."""
        expected = {"meter": Expected(), "vehicle": Expected()}
        for gateway in self.gateways:
            expected.update(gateway.expected)
        return expected

    def start(self, count: int = 1, root: Path = ROOT) -> list[WorkerProcess]:
        """Start so many more workers, of the release whose code is in `root`."""
        started = [WorkerProcess(self.worker_environment, root) for _ in range(count)]
        self.workers += started
        return started

    def kill(self, worker: WorkerProcess) -> None:
        """kill -9."""
        worker.kill()
        self.figures.kills += 1
        self._dismiss(worker)

    def terminate(self, worker: WorkerProcess) -> None:
        """SIGTERM; it must end cleanly."""
        assert worker.terminate() == 0, worker.log
        self._dismiss(worker)

    def replace(self, worker: WorkerProcess) -> WorkerProcess:
        """Kill one and start another at once."""
        self.kill(worker)
        self.figures.restarts += 1
        return self.start()[0]

    def kill_service(self, name: str) -> None:
        """kill -9 for a broker or PostgreSQL."""
        self.stack.service(name).kill()
        self.figures.kills += 1

    def start_service(self, name: str) -> None:
        """Start it again."""
        self.stack.service(name).start()
        self.figures.restarts += 1

    def wait(self, least_s: float, most_s: float | None = None) -> None:
        """Let time pass, a random while between both: the faults must not keep step."""
        time.sleep(self.random.uniform(least_s, most_s or least_s))

    def topic(self, stream: str) -> str:
        """The name of the stream's topic."""
        return self.environment[f"KAFKA_{stream.upper()}_TOPIC"]

    def read(self, stream: str | None = None) -> int:
        """Readings the books account for, of both streams or one."""
        for gateway in self.gateways:
            gateway.check()
        return int(
            self.ask(
                "SELECT coalesce(sum(read), 0) FROM ingest_offsets"
                " WHERE topic = coalesce(%s, topic)",
                self.topic(stream) if stream else None,
            )
        )

    def ask(self, question: str, *parameters: Any) -> Any:
        """The one value that a query returns."""
        try:
            row = self._connection().execute(question.encode(), parameters).fetchone()
        except psycopg.OperationalError:  # the connection was lost with its server
            self._drop_connection()
            row = self._connection().execute(question.encode(), parameters).fetchone()
        return row[0] if row else None

    def _connection(self) -> psycopg.Connection[Any]:
        """One connection for all questions: to connect costs more than most of them."""
        if self._asking is None:
            self._asking = connect(self.environment)
        return self._asking

    def _drop_connection(self) -> None:
        if self._asking:
            self._asking.close()
            self._asking = None

    def reads_on(
        self,
        what: str = "readings are read",
        *,
        stream: str | None = None,
        within_s: float = 60.0,
    ) -> float:
        """Wait until more readings have been read; returns the seconds that took."""
        began = time.monotonic()
        before = self.read(stream)
        wait_until(lambda: self.read(stream) > before, what, patience_s=within_s)
        return time.monotonic() - began

    def settle(self) -> None:
        """Stop sending, let the workers catch up and leave, and compare everything."""
        self.catch_up()
        expected = self.expected
        for worker in list(self.workers):
            self.terminate(worker)
        difference = assert_holds(self.environment, expected)
        self.figures.lost, self.figures.doubled = difference
        self.figures.held = True

    def catch_up(self) -> None:
        """Stop sending; returns once all is read, and can be seen on the nodes of a cluster."""
        for gateway in self.gateways:
            gateway.finish()
        expected = self.expected
        wait_until(
            lambda: all_read(self.environment, expected), "all was read", patience_s=CATCH_UP_S
        )
        if self._stack:
            wait_until(lambda: not any(prepared(self.stack)), "nothing lies prepared")

    def _dismiss(self, worker: WorkerProcess) -> None:
        worker.__exit__(None, None, None)
        self.workers.remove(worker)
