"""The real services that tests run against, started once for all worker processes of a run.

In this order: those that the environment names, testcontainers where a Docker engine answers, the
embedded ones. No test is skipped because one is missing.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from xdist.workermanage import WorkerController

from devstack.stack import Stack
from tests.containers import docker_answers, start_containers

QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java's options: a broker that lives for minutes starts with less work without the optimizing
compiler."""
_STARTED = pytest.StashKey[tuple[ExitStack, dict[str, str]]]()
_INPUT = "services"


@contextmanager
def running_services() -> Iterator[dict[str, str]]:
    """The environment that names a running Kafka and a running PostgreSQL."""
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
            stash[_STARTED] = undo, undo.enter_context(running_services())
        node.workerinput[_INPUT] = stash[_STARTED][1]

    def pytest_unconfigure(self, config: pytest.Config) -> None:
        """Stops the services at the end of the run."""
        if _STARTED in config.stash:
            config.stash[_STARTED][0].close()


def services_of_the_controller(config: pytest.Config) -> dict[str, str] | None:
    """What the controlling process started; None in a run without worker processes."""
    worker_input: dict[str, dict[str, str]] = getattr(config, "workerinput", {})
    return worker_input.get(_INPUT)
