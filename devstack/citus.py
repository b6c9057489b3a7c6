"""A Citus cluster on loopback: a coordinator and workers, each a service of its own.

with CitusCluster(wheel_with_citus(source)) as cluster:
    cluster.nodes.create_database("readings")
    cluster.services["worker-1"].kill()
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from devstack.data_dir import DataDirectory
from devstack.messages import say
from devstack.ports import LOOPBACK, Ports
from devstack.postgres import CONNECT_TIMEOUT_S, PASSWORD, SUPERUSER, Postgres
from devstack.service import Service
from devstack.shutdown import end_all

COORDINATOR = "coordinator"
WORKERS = 2
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
"""What differs from a plain server; over how many shards tables are spread, `sql distribute` says."""


ADD_NODE = "SELECT citus_add_node(%s, %s)"
LOGIN = """
    INSERT INTO pg_dist_authinfo (nodeid, rolename, authinfo) VALUES (0, %s, %s)
    ON CONFLICT (rolename, nodeid) DO UPDATE SET authinfo = excluded.authinfo
"""
"""How all nodes (0) are reached as a role."""
LOGINS = "SELECT rolename, authinfo FROM pg_dist_authinfo"
OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
ROLES = "SELECT rolname, rolpassword FROM pg_authid WHERE rolcanlogin AND NOT rolsuper"


class Node(NamedTuple):
    """Where a node is, and its superuser."""

    host: str
    port: int
    username: str = SUPERUSER
    password: str = PASSWORD

    @contextmanager
    def connected(self, database: str = "postgres") -> Iterator[psycopg.Connection]:
        """An autocommit connection."""
        with psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.username,
            password=self.password,
            dbname=database,
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        ) as connection:
            yield connection

    def create_database(self, name: str, form: str = "") -> None:
        """Create it with Citus; the superuser may reach the other nodes from it."""
        with self.connected() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} " + form).format(sql.Identifier(name)))
        with self.connected(name) as connection:
            connection.execute("CREATE EXTENSION citus")
            connection.execute(LOGIN, (self.username, make_conninfo(password=self.password)))


class Nodes:
    """The nodes of a running cluster, ours or another, and the databases on them."""

    def __init__(self, coordinator: Node, workers: list[Node]) -> None:
        self.coordinator = coordinator
        self.workers = workers

    @property
    def all(self) -> list[Node]:
        """The coordinator first."""
        return [self.coordinator, *self.workers]

    def create_database(self, name: str, form: str = "") -> None:
        """Create it on every node, the workers being known to the coordinator.

        `form` is the rest of CREATE DATABASE.
        """
        for node in self.all:
            node.create_database(name, form)
        with self.coordinator.connected(name) as connection:
            where = (self.coordinator.host, self.coordinator.port)
            connection.execute("SELECT citus_set_coordinator_host(%s, %s)", where)
            for worker in self.workers:
                connection.execute(ADD_NODE, (worker.host, worker.port))

    def drop_database(self, name: str) -> None:
        """Drop it on every node, whoever is connected."""
        drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        for node in self.all:
            with node.connected() as connection:
                connection.execute(drop)

    def introduce(self, name: str, role: str, password: str) -> None:
        """Let the nodes reach each other as this role: what it asks for runs on them as it."""
        for node in self.all:
            with node.connected(name) as connection:
                connection.execute(LOGIN, (role, make_conninfo(password=password)))

    def join(self, worker: Node, name: str) -> None:
        """Let a new worker know a database and the roles, and the coordinator know the worker."""
        with self.coordinator.connected(name) as connection:
            roles = connection.execute(ROLES).fetchall()
            logins = connection.execute(LOGINS).fetchall()
            ((owner,),) = connection.execute(OWNER).fetchall()
        with worker.connected() as connection:
            known = {role for (role,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role, password in roles:
                if role not in known:
                    words = (sql.Identifier(role), sql.Literal(password))
                    connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(*words))
        worker.create_database(name, "OWNER " + sql.Identifier(owner).as_string())
        with worker.connected(name) as connection:
            for login in logins:
                connection.execute(LOGIN, login)
        with self.coordinator.connected(name) as connection:
            connection.execute(ADD_NODE, (worker.host, worker.port))


class CitusNode(Postgres):
    """One of the cluster's servers."""

    def settings(self) -> dict[str, str]:
        """The usual ones, and those of a cluster."""
        return super().settings() | SETTINGS

    @property
    def node(self) -> Node:
        """How it is reached."""
        return Node(LOOPBACK, self.port)


class CitusCluster:
    """A cluster that runs while it is entered; its processes never outlive this one."""

    def __init__(self, wheel: Path, workers: int = WORKERS) -> None:
        """`wheel` is the directory of a PostgreSQL with Citus."""
        self._wheel = wheel
        self._workers_wanted = workers
        self._ports = Ports()
        self._undo = ExitStack()
        self.servers: dict[str, CitusNode] = {}
        """The coordinator first, then worker-1 and so on."""

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            directory = DataDirectory(None)
            undo.callback(directory.close)
            undo.callback(self._ports.close)
            self._directory = directory.path
            undo.callback(lambda: end_all(self.services))
            say(f"starting Citus, a coordinator and {self._workers_wanted} workers")
            for name in (COORDINATOR, *(f"worker-{1 + n}" for n in range(self._workers_wanted))):
                self._define(name).spawn()
            for server in self.servers.values():
                server.wait_until_answers()
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._undo.close()

    @property
    def services(self) -> dict[str, Service]:
        """The servers, to be killed, frozen and started."""
        return dict(self.servers)

    @property
    def nodes(self) -> Nodes:
        """Where they are."""
        coordinator, *workers = (server.node for server in self.servers.values())
        return Nodes(coordinator, workers)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the project's commands reach the coordinator."""
        return {
            "DB_HOST": LOOPBACK,
            "DB_PORT": str(self.servers[COORDINATOR].port),
            "DB_USERNAME": SUPERUSER,
            "DB_PASSWORD": PASSWORD,
        }

    def add_worker(self, *databases: str) -> CitusNode:
        """Start one more worker, and let it join these databases; no shard lies there yet."""
        nodes = self.nodes
        server = self._define(f"worker-{len(self.servers)}")
        server.start()
        for name in databases:
            nodes.join(server.node, name)
        return server

    def _define(self, name: str) -> CitusNode:
        server = CitusNode(self._ports.take(), self._directory, name, self._wheel)
        server.reach()
        server.prepare()
        self.servers[name] = server
        return server
