"""Where the demo's Kafka and PostgreSQL are: its own stack, or those the environment names."""

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from devstack.messages import DevstackError, say
from devstack.stack import Stack

PORTS_TRIED = 100
HIGHEST_PORT = 65_535
NOT_FOR_OUR_OWN = (
    "KAFKA_SECURITY_PROTOCOL",
    "DB_SSLMODE",
    "KAFKA_GROUP_ID",
    "MAX_READING_AGE_DAYS",
    "RETENTION_DAYS",
)
"""Meant for services and data elsewhere; our own need none of it."""


class Services(NamedTuple):
    """What the demo's processes are given."""

    environment: dict[str, str]
    """All of it, not only what differs from ours."""
    directory: Path
    """For their logs."""
    own: bool
    """Whether nobody else uses the services."""


@contextmanager
def services() -> Iterator[Services]:
    """Services that answer, for as long as this is entered."""
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
    inherited = {name: text for name, text in os.environ.items() if name not in NOT_FOR_OUR_OWN}
    with Stack() as stack:
        yield Services(inherited | stack.environment, stack.data_dir, own=True)


def free_port(wanted: int) -> int:
    """`wanted`, or the next one that is free; says so when it had to look further."""
    for port in range(wanted, min(wanted + PORTS_TRIED, HIGHEST_PORT + 1)):
        try:
            socket.create_server(("0.0.0.0", port)).close()
        except OSError:
            continue
        if port != wanted:
            say(f"port {wanted} is taken: the API will be on {port}")
        return port
    raise DevstackError(f"APP_PORT={wanted}: it and the next {PORTS_TRIED - 1} ports are taken")
