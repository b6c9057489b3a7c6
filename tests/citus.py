"""Databases on a Citus cluster: with CITUS_HOST in the environment, every test's database is one.

CITUS_HOST and CITUS_PORT are the coordinator's, CITUS_WORKERS the others' as `host:port,host:port`,
CITUS_USERNAME and CITUS_PASSWORD those of a superuser of all of them.
"""

import os

from psycopg import sql

from devstack.postgres import PASSWORD, SUPERUSER
from sql.connect import connect as connect_as
from sql.distribute import distribute
from sql.grant import grant
from sql.migrate import migrate
from tests.connections import connect
from tests.rights import GRANTED, OWNER, given_to_owner, make_roles, role, where

CITUS_RUN = "CITUS_HOST" in os.environ
SHARDS = 4


def cluster() -> list[dict[str, str]]:
    """The environment of each node, the coordinator's first."""
    nodes = [f"{os.environ['CITUS_HOST']}:{os.environ.get('CITUS_PORT', '5432')}"]
    nodes += filter(None, os.environ.get("CITUS_WORKERS", "").split(","))
    return [
        {
            "DB_HOST": node.rpartition(":")[0],
            "DB_PORT": node.rpartition(":")[2],
            "DB_USERNAME": os.environ.get("CITUS_USERNAME", SUPERUSER),
            "DB_PASSWORD": os.environ.get("CITUS_PASSWORD", PASSWORD),
        }
        for node in nodes
    ]


def create_on_nodes(name: str) -> dict[str, str]:
    """A new database on all nodes, which know each other; returns the coordinator's environment."""
    coordinator, *workers = cluster()
    for node in (coordinator, *workers):
        with connect(node | {"DB_DATABASE": "postgres"}) as connection:
            connection.execute("SET citus.enable_create_database_propagation = off")
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with connect(node | {"DB_DATABASE": name}) as connection:
            connection.execute("CREATE EXTENSION citus")
    with connect(coordinator | {"DB_DATABASE": name}) as connection:
        add = "SELECT {}(%(DB_HOST)s::text, %(DB_PORT)s::integer)"
        for function, node in (
            ("citus_set_coordinator_host", coordinator),
            *(("citus_add_node", worker) for worker in workers),
        ):
            connection.execute(sql.SQL(add).format(sql.SQL(function)), node)
    return coordinator | {"DB_DATABASE": name}


def distributed_by_owner(environment: dict[str, str]) -> dict[str, str]:
    """The environment's new database, migrated, distributed and with rights as on one server."""
    for node in cluster():
        make_roles(node)
    environment = given_to_owner(environment)
    with connect_as(where(role(environment, OWNER))) as connection:
        migrate(connection)
        distribute(connection, SHARDS)
        grant(connection, GRANTED)
    return environment
