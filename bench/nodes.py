"""nodes: the same backlog into a plain PostgreSQL, and into Citus clusters of 1, 2 and 3 nodes.

The cluster is the one that CITUS_HOST, CITUS_PORT, CITUS_USERNAME, CITUS_PASSWORD and CITUS_WORKERS
(`host:port,host:port`) name, or our own, built of the source that CITUS_SOURCE names. Of several
nodes the first is the coordinator, and readings lie on the others; a single one is both. Where all
share one machine, they bring nothing: what is measured is what they cost.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from bench.backlog import Backlog, backlog_fleet, produce
from bench.checks import check_books
from bench.draining import drain
from bench.errors import BenchError
from bench.figures import Figures, measure_in_turns, medians
from bench.lab import Environment, Lab
from bench.model_command import checked
from bench.options import Options
from bench.usage import cpu_s
from devstack.citus import WORKERS, CitusStack, nodes_of
from devstack.citus_build import wheel_with_citus
from devstack.citus_nodes import Node, Nodes
from devstack.ports import LOOPBACK
from devstack.postgres import PASSWORD, SUPERUSER
from reporting.applications import Application
from schemas.settings import Settings
from schemas.streams import STREAMS
from sql.connect import connect, conninfo
from sql.distribute import SHARDS_A_NODE, distribute
from sql.migrate import migrate

MOST_NODES = 3
MIN_READINGS = 600_000
"""A group takes seconds to form: a smaller backlog would be drained by then."""
HOLDS_READINGS = "SELECT citus_set_node_property(%s, %s, 'shouldhaveshards', true)"
HOW = (
    "name a Citus cluster by CITUS_HOST, CITUS_PORT, CITUS_USERNAME, CITUS_PASSWORD and"
    f" {WORKERS}, or its source by CITUS_SOURCE"
)


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them. Raises BenchError without a cluster."""
    counts = [1, 2] if options.quick else [1, 2, 3]
    with _cluster() as cluster:
        least = MIN_READINGS // (len(STREAMS) * options.devices)
        fleet = backlog_fleet(options)._replace(minutes=max(options.minutes, least))
        backlog = produce(lab, fleet, options.first_form)
        measurements = {
            _named(0, count): partial(_on_plain, lab, backlog, count) for count in counts
        }
        for number in range(1, min(MOST_NODES, len(cluster.all)) + 1):
            part = Nodes(cluster.coordinator, cluster.workers[: number - 1])
            measurements |= {
                _named(number, count): partial(_on_nodes, lab, backlog, count, part)
                for count in counts
            }
        runs = measure_in_turns(options, measurements)
    for one in runs:
        for name, figures in one.items():
            plain = one[_named(0, int(figures["workers"]))]
            one[name] = figures | {"ratio": figures["readings_s"] / plain["readings_s"]}
    found = {"readings": fleet.readings, "runs": runs, "median": medians(runs)}
    machine = {"machine": {"cores": len(os.sched_getaffinity(0))}}
    print("\n".join(checked({"nodes": found | machine})))
    return found


def _named(nodes: int, workers: int) -> str:
    where = f"{nodes} node{'s' * (nodes > 1)}" if nodes else "plain"
    return f"{where}, {workers} worker{'s' * (workers > 1)}"


@contextmanager
def _cluster() -> Iterator[Nodes]:
    """The cluster that the environment names, or one of our own. Raises BenchError."""
    given = os.environ
    if host := given.get("CITUS_HOST"):
        nodes = nodes_of(
            {
                "DB_HOST": host,
                "DB_PORT": given.get("CITUS_PORT", "5432"),
                "DB_USERNAME": given.get("CITUS_USERNAME", SUPERUSER),
                "DB_PASSWORD": given.get("CITUS_PASSWORD", PASSWORD),
                WORKERS: given.get(WORKERS, ""),
            }
        )
        assert nodes is not None
        yield nodes
    elif source := given.get("CITUS_SOURCE"):
        with CitusStack(wheel_with_citus(Path(source))) as stack:
            yield stack.nodes
    else:
        raise BenchError(HOW)


def _on_plain(lab: Lab, backlog: Backlog, workers: int) -> Figures:
    with lab.database(backlog.topics) as environment:
        found = drain(lab, environment, backlog, workers=workers)
        check_books(lab, environment, read=backlog.readings, stored=backlog.distinct)
    return found.costs() | {"workers": workers}


def _on_nodes(lab: Lab, backlog: Backlog, workers: int, nodes: Nodes) -> Figures:
    with _database(lab, backlog, nodes) as environment:
        before = [_cpu_s(node) for node in nodes.all]
        found = drain(lab, environment, backlog, workers=workers)
        used = [_cpu_s(node) - start for node, start in zip(nodes.all, before, strict=True)]
        check_books(lab, environment, read=backlog.readings, stored=backlog.distinct)
    coordinator, *others = (seconds * 1e6 / backlog.readings for seconds in used)
    return found.costs() | {
        "workers": workers,
        "nodes": len(nodes.all),
        "coordinator_cpu_us": coordinator,
        "node_cpu_us": sum(others),
        "postgres_cpu_us": coordinator + sum(others),
    }


@contextmanager
def _database(lab: Lab, backlog: Backlog, nodes: Nodes) -> Iterator[Environment]:
    """The environment of a migrated, distributed database, dropped at the end."""
    environment = lab.environment("", backlog.topics)
    name = f"bench_{os.getpid()}_{environment['KAFKA_GROUP_ID'].rpartition('-')[2]}"
    first = nodes.coordinator
    environment |= {
        "DB_DATABASE": name,
        "DB_HOST": first.host,
        "DB_PORT": str(first.port),
        "DB_USERNAME": first.username,
        "DB_PASSWORD": first.password,
        "DB_REQUIRE_AUTH": os.environ.get("DB_REQUIRE_AUTH", "scram-sha-256"),
        "DB_ALLOW_PLAINTEXT": "true",
    }
    try:
        nodes.create_database(name)
        if not nodes.workers:
            with first.connected(name) as plain:
                plain.execute(HOLDS_READINGS, (first.host, first.port))
        settings = Settings.model_validate({k.lower(): v for k, v in environment.items()})
        with connect(conninfo(settings, Application.BENCH)) as connection:
            migrate(connection)
            distribute(connection, SHARDS_A_NODE * max(1, len(nodes.workers)))
        yield environment
    finally:
        nodes.drop_database(name)


def _cpu_s(node: Node) -> float:
    """CPU seconds of a node's processes so far. Raises BenchError on another machine."""
    if node.host != LOOPBACK:
        raise BenchError(f"{node.host} is another machine: its CPU can't be measured from here")
    with node.connected() as connection:
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        assert row
        server = psutil.Process(int(row[0])).parent()
        assert server
        return cpu_s(server.pid)
