"""What `python -m sql distribute`, `rebalance` and `status` do and say about nodes."""

from collections.abc import Iterable, Iterator
from typing import Any

from psycopg import errors

from reporting.applications import Application
from reporting.command import say
from sql import cluster_checks
from sql.cluster_checks import gigabytes
from sql.connect import Connection
from sql.distribute import (
    MOST_SHARDS,
    QUERIES,
    SHARDS_A_NODE,
    alone,
    analyze,
    distribute,
    gather,
    imbalance,
    look,
    spread_tables,
)
from sql.errors import DistributionError
from sql.rebalance import rebalance


def distribute_all(connection: Connection, shards: int | None) -> None:
    """Spread the tables over the nodes. Raises DistributionError, psycopg.Error."""
    cluster_checks.check_citus(connection)
    with alone(connection):
        found = look(connection)
        left = [table for table in found if not table.spread_by]
        if not left and not any(table.row_bytes for table in found):
            say("the tables are distributed already: nothing was changed")
            return
        needed = sum(table.bytes for table in left)
        _refuse(
            cluster_checks.of_cluster(connection)
            or [
                *cluster_checks.of_tables(connection, found),
                *cluster_checks.of_writers(connection),
                *cluster_checks.room(connection, needed),
            ]
        )
        nodes = len(cluster_checks.shard_nodes(connection))
        shards = shards or min(SHARDS_A_NODE * nodes, MOST_SHARDS)
        shards = next((table.shards for table in found if table.spread_by), shards)
        say(f"needs about {gigabytes(needed)} on {nodes} nodes, in {shards} shards")
        _have_api_look_again(connection)
        for name, rows in distribute(connection, shards).items():
            print(f"distributed {name}: {rows} rows")
        _check_books(connection)
        analyze(connection)


def gather_all(connection: Connection) -> None:
    """Make all tables the coordinator's own again. Raises DistributionError, psycopg.Error."""
    cluster_checks.check_citus(connection)
    with alone(connection):
        found = look(connection)
        if not any(table.spread_by for table in found):
            say("no table is distributed: nothing was changed")
            return
        lines = cluster_checks.of_cluster(connection) or cluster_checks.of_writers(connection)
        _refuse(lines)
        for name, rows in gather(connection).items():
            print(f"gathered {name}: {rows} rows")
        _check_books(connection)
        analyze(connection)


def rebalance_all(connection: Connection, *, block_writes: bool) -> None:
    """Give each node its share of the shards. Raises DistributionError, psycopg.Error."""
    cluster_checks.check_citus(connection)
    with alone(connection):
        found = look(connection)
        if not all(table.spread_by for table in found):
            raise DistributionError("not all tables are distributed: `python -m sql distribute`")
        _refuse(cluster_checks.of_cluster(connection, logical=not block_writes))
        if not rebalance(connection, block_writes=block_writes):
            say("each node has its share already: nothing was moved")
    for line in placement_lines(placement(connection)):
        print(line)


def placement(connection: Connection) -> dict[str, Any]:
    """Nodes, and where each spread table lies, as `status --json` prints it."""
    names = {"tables": [table.name for table in spread_tables()]}
    lying: dict[str, list[dict[str, Any]]] = {}
    for name, address, shards, size in connection.execute(QUERIES["placement"], names).fetchall():
        lying.setdefault(name, []).append({"node": address, "shards": shards, "bytes": size})
    left_out = connection.execute(QUERIES["days_left_out"], names).fetchall()
    return {
        "nodes": [
            {"node": node.address, "active": node.active, "takesShards": node.takes_shards}
            for node in cluster_checks.nodes(connection)
        ],
        "tables": [
            {"table": table.name, "distributed": table.spread_by is not None}
            | ({"on": lying.get(table.name, [])} if table.spread_by else {"bytes": table.bytes})
            for table in look(connection)
        ],
        "daysNotDistributed": [name for (name,) in left_out],
    }


def placement_lines(found: dict[str, Any]) -> Iterator[str]:
    """The same as lines of text."""
    for node in found["nodes"]:
        if not node["active"]:
            yield f"node {node['node']}: not active"
        elif not node["takesShards"]:
            yield f"node {node['node']}: takes no shards"
        else:
            yield f"node {node['node']}"
    for table in found["tables"]:
        if not table["distributed"]:
            yield f"{table['table']}  on the coordinator alone, {gigabytes(table['bytes'])}"
        for part in table.get("on", ()):
            size = "?" if part["bytes"] is None else gigabytes(part["bytes"])
            yield f"{table['table']}  {part['node']}  {part['shards']} shards, {size}"
    for name in found["daysNotDistributed"]:
        yield f"{name}  on the coordinator alone, though its history is distributed"


def is_whole(found: dict[str, Any]) -> bool:
    """Whether all is distributed, or nothing is."""
    kinds = {table["distributed"] for table in found["tables"]}
    return len(kinds) <= 1 and not found["daysNotDistributed"]


def _refuse(lines: Iterable[str]) -> None:
    """Say what is wrong, a line each; the last one as the error."""
    *others, last = [*lines] or [""]
    for line in others:
        say(line, level="error")
    if last:
        raise DistributionError(last)


def _have_api_look_again(connection: Connection) -> None:
    """End the API's connections: those from before the extension do not know of it.

    It makes new ones at once.
    """
    try:
        connection.execute(QUERIES["end_connections"], {"name": Application.API})
    except errors.InsufficientPrivilege:
        say("only a superuser can end the API's connections: restart the API, unless that was done")


def _check_books(connection: Connection) -> None:
    off = imbalance(connection)
    if off:
        raise DistributionError(
            f"the books and the tables differ by {off} readings, though no table lost any:"
            " `python -m ingest_worker reconcile` says more"
        )
    say("the books balance; the workers may run. Meanwhile: ANALYZE")
