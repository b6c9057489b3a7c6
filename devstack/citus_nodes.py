"""The nodes of a running Citus cluster, whoever started it, and databases on all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from devstack.postgres import CONNECT_TIMEOUT_S, PASSWORD, SUPERUSER

ADD_NODE = "SELECT citus_add_node(%s, %s)"
LOGIN = """
    INSERT INTO pg_dist_authinfo (nodeid, rolename, authinfo) VALUES (0, %s, %s)
    ON CONFLICT (rolename, nodeid) DO UPDATE SET authinfo = excluded.authinfo
"""
"""How all nodes (0) are reached as a role."""
HERE_ALONE = "SET citus.enable_ddl_propagation = off"
"""In a database with Citus, a node passes on what is done to databases and roles."""
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
        """An autocommit connection; what it creates is created on this node alone."""
        with psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.username,
            password=self.password,
            dbname=database,
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        ) as connection:
            connection.execute(HERE_ALONE)
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
                for last in (False, False, True):
                    try:
                        connection.execute(drop)
                        break
                    except psycopg.errors.ObjectInUse:  # by a process of Citus that came back
                        if last:
                            raise

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
