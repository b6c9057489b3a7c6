"""The Citus cluster that tests run on with `--citus`: one that is named, or their own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from devstack.citus import WORKERS, CitusStack, nodes_of
from devstack.citus_build import VERSION, wheel_with_citus
from devstack.citus_nodes import Node
from devstack.postgres import PASSWORD, SUPERUSER
from devstack.stack import Stack

SOURCE = "CITUS_SOURCE"
DEFAULTS = {
    "CITUS_PORT": "5432",
    "CITUS_USERNAME": SUPERUSER,
    "CITUS_PASSWORD": PASSWORD,
}
HOST = "CITUS_HOST"
OF_OWN_NODES = {"breakable_stack", "own_wheel"}
"""The fixtures of tests that start nodes of their own."""
HOW = f"""Tests on a Citus cluster need one. Set one of these in the environment:
  {SOURCE}: the source of Citus {VERSION}, a folder or a git directory, as of
      git clone --branch v{VERSION} https://github.com/citusdata/citus
    It is built once (a C compiler, make, two minutes); tests start nodes of their own.
  {", ".join([HOST, *DEFAULTS])}: of a running cluster the coordinator
    and the superuser, who has the same password on all nodes. Tests make databases on it. Those
    that kill nodes are left out: they take {SOURCE}.
"""
PREPARED = "SELECT count(*) FROM pg_prepared_xacts"
MAKING_LOCK = 7_226_902
KNOWN_WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 AND isactive"


def is_named() -> bool:
    """Whether the environment names a running cluster."""
    return bool(os.environ.get(HOST))


def can_be_had() -> bool:
    """Whether there is one, or the source of one."""
    return is_named() or has_source()


def has_source() -> bool:
    """Whether tests can have nodes of their own."""
    return bool(os.environ.get(SOURCE))


def can_run(item: pytest.Item) -> bool:
    """Whether a test can be run on the cluster: it does not want what Citus refuses, nor to break
    nodes that are not ours."""
    if item.get_closest_marker("no_citus"):
        return False
    return has_source() or OF_OWN_NODES.isdisjoint(getattr(item, "fixturenames", ()))


def own_stack() -> CitusStack:
    """A stack with a cluster, not started yet. Raises DevstackError when it can't be built."""
    return CitusStack(own_wheel())


def own_wheel() -> Path:
    """The programs of nodes of our own. Raises DevstackError when they can't be built."""
    return wheel_with_citus(Path(os.environ[SOURCE]))


def prepared(stack: Stack) -> list[int]:
    """How many transactions lie prepared on each worker of its cluster, if that is what it has."""
    counts = []
    for node in stack.nodes.workers if isinstance(stack, CitusStack) else []:
        with node.connected() as connection:
            counts += [count for (count,) in connection.execute(PREPARED)]
    return counts


@contextmanager
def one_at_a_time(services: dict[str, str]) -> Iterator[None]:
    """Around making a database: Citus updates what all of a server's databases share.

    Two at once fail with `tuple concurrently updated`. Of one PostgreSQL nobody waits.
    """
    nodes = nodes_of(services)
    if nodes is None:
        yield
        return
    with nodes.coordinator.connected() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MAKING_LOCK,))
        yield


def named_cluster() -> dict[str, str]:
    """The variables of the cluster that the environment names, and its workers."""
    host = os.environ[HOST]
    port, username, password = (os.environ.get(name) or of for name, of in DEFAULTS.items())
    coordinator = Node(host, int(port), username, password)
    return {
        "DB_HOST": host,
        "DB_PORT": port,
        "DB_USERNAME": username,
        "DB_PASSWORD": password,
        WORKERS: ",".join(f"{name}:{port}" for name, port in _workers(coordinator)),
    }


def _workers(coordinator: Node) -> list[tuple[str, int]]:
    """Those that any database of the coordinator knows."""
    with coordinator.connected() as connection:
        names = connection.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    for (name,) in names:
        with coordinator.connected(name) as connection:
            try:
                workers = connection.execute(KNOWN_WORKERS).fetchall()
            except psycopg.errors.UndefinedTable:
                continue
        if workers:
            return [(str(host), int(port)) for host, port in workers]
    raise LookupError("no database of the cluster knows a worker")
