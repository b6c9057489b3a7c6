"""What must be so before tables are spread over nodes or moved among them; a line for each flaw.

All of it is found out before anything is changed.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import psycopg
from psycopg import errors, sql
from psycopg.rows import class_row

from reporting.applications import Application
from schemas.text import one_line
from sql.citus import has_citus
from sql.connect import Connection
from sql.distribute import QUERIES, Found, spread_tables
from sql.errors import DistributionError, MigrationError
from sql.migrate import NOT_MIGRATED, is_current
from sql.named import load

OLDEST_CITUS = 12
WRITERS = (
    Application.WORKER,
    Application.HOUSEKEEPING,
    Application.POSITIONS,
    Application.REJECTED,
)
"""Who must not run meanwhile; `replay` goes by the worker's name. The API may."""
NO_CITUS = (
    "the database has no extension citus: it can be distributed once PostgreSQL has Citus, see"
    " docs/citus.md"
)
WHO_AM_I = "SELECT current_user"
OF_NODE = QUERIES["of_node"].as_string()


class Node(NamedTuple):
    """A node of the cluster."""

    nodeid: int
    groupid: int
    address: str
    active: bool
    takes_shards: bool


def check_citus(connection: Connection) -> None:
    """Whether this is a migrated database that a Citus coordinator has.

    Raises DistributionError or MigrationError.
    """
    if not has_citus(connection):
        raise DistributionError(NO_CITUS)
    version, coordinated = connection.execute(QUERIES["cluster"]).fetchall()[0]
    if int(version.split(".")[0]) < OLDEST_CITUS:
        raise DistributionError(f"Citus {version} is too old: {OLDEST_CITUS} or newer is needed")
    if coordinated:
        raise DistributionError("this is not the coordinator: DB_HOST and DB_PORT must name it")
    if not is_current(connection):
        raise MigrationError(NOT_MIGRATED)


def nodes(connection: Connection) -> list[Node]:
    """The nodes that the coordinator knows."""
    with connection.cursor(row_factory=class_row(Node)) as cursor:
        return cursor.execute(QUERIES["nodes"], {}).fetchall()


def shard_nodes(connection: Connection) -> list[Node]:
    """The nodes that rows can lie on."""
    return _takers(nodes(connection))


def _takers(known: Iterable[Node]) -> list[Node]:
    return [node for node in known if node.active and node.takes_shards]


def _answers(connection: Connection, statement: str) -> list[tuple[int, bool, str]]:
    """What each node answers: its nodeid, whether it could, and the answer or the error."""
    return connection.execute(QUERIES["ask_nodes"], {"statement": statement}).fetchall()


def of_cluster(connection: Connection, *, logical: bool = False) -> list[str]:
    """What is wrong with the nodes. `logical`: shards are to be moved while they are written to."""
    known = nodes(connection)
    if not _takers(known):
        return ["no node takes shards: SELECT citus_add_node('HOST', PORT) makes one known"]
    if idle := [node.address for node in known if not node.active]:
        return [f"{address} is not active: SELECT citus_activate_node(...)" for address in idle]
    names = {node.nodeid: node.address for node in known} | {0: "the coordinator"}
    asked = _answers(connection, OF_NODE)
    if away := [(names[node], why) for node, success, why in asked if not success]:
        return [f"{address} does not answer: {one_line(why)}" for address, why in away]
    answers = {names[node]: json.loads(answer) for node, _, answer in asked}
    lines = [line for (line,) in connection.execute(QUERIES["health"], {}).fetchall()]
    movers = [node.address for node in known if logical and node.takes_shards]
    lines += of_answers(answers, logical=movers)
    return [*lines, *_of_roles(connection, answers)]


def of_tables(connection: Connection, tables: Iterable[Found]) -> list[str]:
    """What is wrong with the tables, or was done to them by other means."""
    columns = {table.name: table.column for table in spread_tables()}
    spread = [table for table in tables if table.spread_by]
    lines = [
        f"{table.name} is distributed by {table.spread_by}, not by {columns[table.name]}"
        for table in spread
        if table.spread_by != columns[table.name]
    ]
    if len({table.colocation for table in spread}) > 1:
        lines.append("the tables are distributed, but not colocated: so this software cannot run")
    parameters = {"tables": list(columns)}
    return lines + [
        line for (line,) in connection.execute(QUERIES["in_the_way"], parameters).fetchall()
    ]


def of_writers(connection: Connection) -> list[str]:
    """Who is connected that would write meanwhile."""
    found = connection.execute(QUERIES["connected"], {"names": list(WRITERS)}).fetchall()
    return [
        f"{name} is connected ({count} times, pid {pid} for one): stop the workers and commands"
        for name, count, pid in found
    ]


def room(connection: Connection, needed: int) -> list[str]:
    """Which nodes have less room than their share of what is `needed`, in bytes."""
    takers = {node.nodeid: node.address for node in shard_nodes(connection)}
    share = needed // len(takers)
    lines = []
    for node, success, answer in _answers(connection, OF_NODE):
        free = json.loads(answer)["free"] if success else None
        if node in takers and free is not None and free < share:
            lines.append(f"{takers[node]} has {gigabytes(free)} left, and needs {gigabytes(share)}")
    return lines


def of_answers(
    answers: Mapping[str, Mapping[str, Any]], *, logical: Collection[str] = ()
) -> Iterator[str]:
    """What is wrong with what the nodes say of themselves; `answers` are by address.

    Those of `logical` are to move shards that are written to.
    """
    for name in ("encoding", "collation", "citus"):
        if len({answer[name] for answer in answers.values()}) > 1:
            each = ", ".join(f"{address} {answer[name]}" for address, answer in answers.items())
            yield f"the nodes differ in {name}: {each}"
    for address, answer in answers.items():
        if not answer["prepared"]:
            yield f"{address} takes no prepared transactions: max_prepared_transactions is 0"
        if address in logical and answer["wal_level"] != "logical":
            yield f"{address} has wal_level={answer['wal_level']}: set it to logical, and restart"


def gigabytes(count: int) -> str:
    """A size for people, such as 1.3 GB."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _of_roles(connection: Connection, answers: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Whether the roles of our processes get from the coordinator to each node."""
    for role, _ in connection.execute(load("rights")["remembered"]).fetchall():
        lacking = [address for address, answer in answers.items() if role not in answer["roles"]]
        if lacking:
            yield f"{role} is no role on {', '.join(lacking)}: make it there by CREATE ROLE"
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
                told = _answers(connection, WHO_AM_I)
        except errors.InsufficientPrivilege:
            continue  # who is no superuser cannot try it
        except psycopg.Error as error:
            told = [(0, False, str(error))]
        yield from (
            f"{role} does not get from the coordinator to the nodes: {one_line(why)}"
            for _, success, why in told
            if not success
        )
