"""A plain database on a cluster's coordinator, filled as workers would, and what is in it."""

import json
from typing import Any

from psycopg import sql

from devstack.citus import CitusStack
from devstack.postgres import SUPERUSER
from schemas.streams import METER, STREAMS, VEHICLE
from sql.migrate import migrate
from tests.connections import connect
from tests.workers import command

DAYS, DEVICES = 3, 100
FIRST_DAY = "2026-01-10"
ENSURE = "SELECT ensure_day_partition(%s, %s::date + %s::integer)"
FILL = """
INSERT INTO {history} ({id}, "timestamp", {energy})
SELECT 'D-' || device, %(first)s::timestamptz + make_interval(days => day, secs => second), second
FROM generate_series(0, %(days)s - 1) AS day, generate_series(1, %(devices)s) AS device,
    generate_series(0, %(each)s - 1) AS second
"""
FILL_LIVE = """
INSERT INTO {live} ({id}, "timestamp", {energy})
SELECT {id}, max("timestamp"), max({energy}) FROM {history} GROUP BY {id}
"""
BOOKS = """
INSERT INTO ingest_offsets (group_id, topic, partition, next_offset, read, stored)
VALUES ('group', 'topic', 0, %(rows)s, %(rows)s, %(rows)s)
"""
SUMS = """
SELECT count(*), sum(hashtextextended(
    {id} || extract(epoch FROM "timestamp")::text || {energy}::text, 0)::numeric)
FROM {table}
"""
ON_NODES = """
SELECT relname FROM pg_dist_partition JOIN pg_class ON oid = logicalrelid
WHERE NOT relispartition ORDER BY 1
"""
TABLES = [name for stream in STREAMS.values() for name in (stream.history_table, stream.live_table)]


def create_plain(cluster: CitusStack, name: str, *, rows: int = 0) -> dict[str, str]:
    """A migrated database of the coordinator alone, with about so many rows in each history."""
    environment = cluster.environment | {"DB_DATABASE": name}
    with cluster.nodes.coordinator.connected() as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with connect(environment) as connection:
        migrate(connection)
    fill(environment, rows)
    return environment


def fill(environment: dict[str, str], rows: int) -> None:
    """Give a migrated database about so many rows in each history, live states and books."""
    with connect(environment) as connection:
        for stream in (METER, VEHICLE) if rows else ():
            words = _words(stream)
            for day in range(DAYS):
                connection.execute(ENSURE, (stream.history_table, FIRST_DAY, day))
            each = {"first": f"{FIRST_DAY}Z", "days": DAYS, "devices": DEVICES}
            each |= {"each": max(1, rows // (DAYS * DEVICES))}
            connection.execute(sql.SQL(FILL).format(**words), each)
            connection.execute(sql.SQL(FILL_LIVE).format(**words))
        stored = sum(count for name, (count, _) in sums(environment).items() if "history" in name)
        connection.execute(BOOKS, {"rows": stored})


def add_nodes(cluster: CitusStack, name: str) -> None:
    """Give the database of the coordinator Citus, and the same one on its workers."""
    nodes = cluster.nodes
    for worker in nodes.workers:
        worker.create_database(name)
    login = f"password={nodes.coordinator.password}"
    with nodes.coordinator.connected(name) as connection:
        connection.execute("CREATE EXTENSION citus")
        connection.execute("INSERT INTO pg_dist_authinfo VALUES (0, %s, %s)", (SUPERUSER, login))
        where = (nodes.coordinator.host, nodes.coordinator.port)
        connection.execute("SELECT citus_set_coordinator_host(%s, %s)", where)
        for worker in nodes.workers:
            connection.execute("SELECT citus_add_node(%s, %s)", (worker.host, worker.port))


def sums(environment: dict[str, str]) -> dict[str, tuple[int, Any]]:
    """Of each table, how many rows it has and a sum over all of them."""
    found = {}
    with connect(environment) as connection:
        for stream in STREAMS.values():
            for table in (stream.history_table, stream.live_table):
                query = sql.SQL(SUMS).format(table=sql.Identifier(table), **_words(stream))
                found[table] = connection.execute(query).fetchall()[0]
    return found


def on_nodes(environment: dict[str, str]) -> list[str]:
    """The tables that are distributed."""
    with connect(environment) as connection:
        return [name for (name,) in connection.execute(ON_NODES).fetchall()]


def _words(stream: Any) -> dict[str, sql.Identifier]:
    energy = {METER.name: "kwh_consumed_ac", VEHICLE.name: "kwh_delivered_dc"}[stream.name]
    return {
        "history": sql.Identifier(stream.history_table),
        "live": sql.Identifier(stream.live_table),
        "id": sql.Identifier(stream.id_column),
        "energy": sql.Identifier(energy),
    }


def placement(environment: dict[str, str]) -> dict[str, Any]:
    """What `sql status` says."""
    found: dict[str, Any] = json.loads(command(environment, "sql", "status", "--json").stdout)
    assert all(one["appliedAt"] for one in found["migrations"])
    return found
