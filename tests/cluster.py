"""The Citus cluster that tests run on with `--citus`: one that is named, or their own."""

import os
from pathlib import Path

import psycopg

from devstack.citus import WORKERS, CitusStack
from devstack.citus_build import VERSION, wheel_with_citus
from devstack.citus_nodes import Node

SOURCE = "CITUS_SOURCE"
NAMED = ("CITUS_HOST", "CITUS_PORT", "CITUS_USERNAME", "CITUS_PASSWORD")
HOW = f"""Tests on a Citus cluster need one. Set one of these in the environment:
  {SOURCE}: the source of Citus {VERSION}, a folder or a git directory, as of
      git clone --branch v{VERSION} https://github.com/citusdata/citus
    It is built once (a C compiler, make, two minutes); tests start nodes of their own.
  {", ".join(NAMED)}: of a running cluster the coordinator
    and the superuser, who has the same password on all nodes. Tests make databases on it. Those
    that kill nodes are left out: they take {SOURCE}.
"""
KNOWN_WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE groupid <> 0 AND isactive"


def is_named() -> bool:
    """Whether the environment names a running cluster."""
    return all(os.environ.get(name) for name in NAMED)


def can_be_had() -> bool:
    """Whether there is one, or the source of one."""
    return is_named() or has_source()


def has_source() -> bool:
    """Whether tests can have nodes of their own."""
    return bool(os.environ.get(SOURCE))


def own_stack() -> CitusStack:
    """A stack with a cluster, not started yet. Raises DevstackError when it can't be built."""
    return CitusStack(wheel_with_citus(Path(os.environ[SOURCE])))


def named_cluster() -> dict[str, str]:
    """The variables of the cluster that the environment names, and its workers."""
    host, port, username, password = (os.environ[name] for name in NAMED)
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
