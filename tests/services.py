"""The real services that tests run against, started once for all worker processes of a run.

In this order: those that the environment names, testcontainers where a Docker engine answers, the
embedded ones. No test is skipped because one is missing. With `--citus` PostgreSQL is a cluster.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

import pytest
from xdist.workermanage import WorkerController

from devstack.stack import Stack
from tests import cluster
from tests.containers import docker_answers, start_containers

QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java's options: a broker that lives for minutes starts with less work without the optimizing
compiler."""
_STARTED = pytest.StashKey[tuple[ExitStack, dict[str, str]]]()
_INPUT = "services"


def running_services(config: pytest.Config) -> AbstractContextManager[dict[str, str]]:
    """The environment that names a running Kafka and a running PostgreSQL, as the run wants it."""
    return _with_cluster() if config.getoption("citus") else _plain()


def new_stack(config: pytest.Config) -> Stack:
    """A stack of its own, to be entered, as the run wants it."""
    return cluster.own_stack() if config.getoption("citus") else Stack()


@contextmanager
def _with_cluster() -> Iterator[dict[str, str]]:
    if not cluster.is_named():
        with cluster.own_stack() as stack:
            yield stack.environment
    else:
        with _plain() as services:
            yield services | cluster.named_cluster()


@contextmanager
def _plain() -> Iterator[dict[str, str]]:
    with ExitStack() as undo:
        if "KAFKA_BOOTSTRAP_SERVERS" in os.environ and "DB_HOST" in os.environ:
            yield {
                name: value
                for name, value in os.environ.items()
                if name.startswith(("KAFKA_", "DB_"))
            }
        elif docker_answers():
            yield start_containers(undo)
        else:
            yield undo.enter_context(Stack()).environment


class SharedServices:
    """The plugin of the process that controls the workers: it starts and stops the services."""

    def pytest_configure_node(self, node: WorkerController) -> None:
        """Tells a worker process where the services are."""
        stash = node.config.stash
        if _STARTED not in stash:
            undo = ExitStack()
            stash[_STARTED] = undo, undo.enter_context(running_services(node.config))
        node.workerinput[_INPUT] = stash[_STARTED][1]

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Stops the services at the end of the run."""
        if _STARTED in config.stash:
            config.stash[_STARTED][0].close()


def services_of_the_controller(config: pytest.Config) -> dict[str, str] | None:
    """What the controlling process started; None in a run without worker processes."""
    worker_input: dict[str, dict[str, str]] = getattr(config, "workerinput", {})
    return worker_input.get(_INPUT)
