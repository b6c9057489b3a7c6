"""The stack with a Citus cluster as its PostgreSQL: a coordinator and workers on loopback.

with CitusStack(wheel_with_citus(source)) as stack:
    stack.nodes.create_database("readings")
    stack.service("worker-1").kill()
"""

import re
from pathlib import Path

from devstack.citus_nodes import Node, Nodes
from devstack.ports import LOOPBACK
from devstack.postgres import Postgres
from devstack.stack import Stack

WORKERS = "CITUS_WORKERS"
"""The variable that names the workers; the coordinator is what DB_HOST and DB_PORT name."""
SETTINGS = {
    # Citus wants to be the first.
    "shared_preload_libraries": "'citus,pg_stat_statements'",
    # A statement of the coordinator may take several connections to a worker, and keeps them.
    "max_connections": "300",
    "shared_buffers": "256MB",
    # A transaction that wrote on two nodes is prepared on each before any of them commits.
    "max_prepared_transactions": "300",
    # One that was prepared when a node died keeps its locks until it is looked after: by default
    # once a minute.
    "citus.recover_2pc_interval": "'5s'",
    # Shards are moved while they are written to: their changes follow by logical replication.
    "wal_level": "logical",
    # Each database has a process that looks after it, on every node.
    "max_worker_processes": "64",
    # A node reaches itself and others under the address that it listens on, here without TLS.
    "citus.local_hostname": f"'{LOOPBACK}'",
    "citus.node_conninfo": "'sslmode=disable'",
}
"""What differs from a plain server. Into how many shards tables go, `sql distribute` says."""


class CitusNode(Postgres):
    """One of the cluster's servers."""

    def settings(self) -> dict[str, str]:
        """The usual ones, and those of a cluster."""
        return super().settings() | SETTINGS

    @property
    def node(self) -> Node:
        """How it is reached."""
        return Node(LOOPBACK, self.port)


class CitusStack(Stack):
    """Kafka and a cluster; the coordinator is the service `postgres`, a worker `worker-1`."""

    servers = ("postgres", "worker-1", "worker-2")

    def __init__(self, wheel: Path) -> None:
        """`wheel` is the directory of a PostgreSQL with Citus."""
        super().__init__(names={})
        self._wheel = wheel

    @property
    def nodes(self) -> Nodes:
        """Where its nodes are."""
        coordinator, *workers = (server.node for server in self._citus())
        return Nodes(coordinator, workers)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the stack is reached, and its workers."""
        workers = ",".join(f"{worker.host}:{worker.port}" for worker in self.nodes.workers)
        return super().environment | {WORKERS: workers}

    def make_server(self, name: str, port: int) -> CitusNode:
        """One of the nodes."""
        return CitusNode(port, self.data_dir, name, self._wheel)

    def create_database(self, name: str) -> None:
        """Create it on all nodes."""
        self.nodes.create_database(name)

    def add_worker(self, *databases: str) -> str:
        """Start one more worker, and let it join these databases; no shard lies there yet.

        Returns the name of the service.
        """
        nodes = self.nodes
        name = f"worker-{1 + len(nodes.workers)}"
        server = self.make_server(name, self.ports.take())
        server.reach()
        server.prepare()
        server.start()
        self.services[name] = server
        for database in databases:
            nodes.join(server.node, database)
        return name

    def _citus(self) -> list[CitusNode]:
        return [server for server in self.services.values() if isinstance(server, CitusNode)]


def nodes_of(environment: dict[str, str]) -> Nodes | None:
    """The nodes that an environment names; None when its database is on a plain PostgreSQL."""
    if WORKERS not in environment:
        return None
    login = environment["DB_USERNAME"], environment["DB_PASSWORD"]
    named = re.findall(r"([^,]+):(\d+)", environment[WORKERS])
    workers = [Node(host, int(port), *login) for host, port in named]
    return Nodes(Node(environment["DB_HOST"], int(environment["DB_PORT"]), *login), workers)
