"""The demo's Kafka and PostgreSQL: a stack of its own, or those that the environment names."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devstack.errors import DevstackError
from devstack.messages import say
from devstack.stack import Stack

PORTS_TRIED = 100
HIGHEST_PORT = 65_535
IGNORED_BY_OWN_STACK = (
    "KAFKA_SECURITY_PROTOCOL",
    "DB_SSLMODE",
    "KAFKA_GROUP_ID",
    "MAX_READING_AGE_DAYS",
    "RETENTION_DAYS",
)
"""Settings that are meant for other services and data; the demo's own stack ignores them."""


class Services(NamedTuple):
    """The services, and what the demo's processes need to reach them."""

    environment: dict[str, str]
    """The whole environment of the processes."""
    directory: Path
    """The directory of their logs."""
    own: bool
    """Whether the demo started the services, so that nobody else uses them."""


@contextmanager
def services() -> Iterator[Services]:
    """Services that answer, for as long as this is entered.

    Raises DevstackError when the environment names only one of them, or they do not start.
    """
    named = {"KAFKA_BOOTSTRAP_SERVERS", "DB_HOST"}.intersection(os.environ)
    if len(named) == 2:
        say(
            f"using Kafka at {os.environ['KAFKA_BOOTSTRAP_SERVERS']} and PostgreSQL on "
            f"{os.environ['DB_HOST']}, as the environment says"
        )
        with tempfile.TemporaryDirectory(prefix="energy-demo-") as directory:
            yield Services(dict(os.environ), Path(directory), own=False)
        return
    if named:
        raise DevstackError(
            f"only {named.pop()} is set: the demo uses services from elsewhere when "
            "KAFKA_BOOTSTRAP_SERVERS and DB_HOST are both set, else its own"
        )
    inherited = {
        name: text for name, text in os.environ.items() if name not in IGNORED_BY_OWN_STACK
    }
    with Stack() as stack:
        yield Services(inherited | stack.environment, stack.data_dir, own=True)


def free_port(wanted: int) -> int:
    """The port `wanted`, or the next free one, which is then said on stderr.

    Raises DevstackError when there is none near.
    """
    for port in range(wanted, min(wanted + PORTS_TRIED, HIGHEST_PORT + 1)):
        try:
            socket.create_server(("0.0.0.0", port)).close()
        except OSError:
            continue
        if port != wanted:
            say(f"port {wanted} is taken: the API will be on {port}")
        return port
    raise DevstackError(f"APP_PORT={wanted}: it and the next {PORTS_TRIED - 1} ports are taken")
