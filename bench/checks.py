"""Checks that what was measured is also right: a figure whose books are wrong is void."""

import json
from typing import Any

from bench.errors import BenchError
from bench.lab import Environment, Lab
from schemas.streams import STREAMS

HAS_CITUS = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')"
BYTES = """
    SELECT sum(pg_total_relation_size(relid))::bigint
    FROM pg_partition_tree('{table}') WHERE isleaf
"""
SPREAD_BYTES = """
    SELECT sum(shard_size)::bigint
    FROM pg_partition_tree('{table}') JOIN citus_shards ON table_name = relid WHERE isleaf
"""
"""On a cluster the coordinator's own tables are empty."""


def check_books(
    lab: Lab, environment: Environment, *, read: int, stored: int, duplicate: int = 0
) -> None:
    """Raise BenchError unless books and tables hold exactly these numbers."""
    output = lab.run(["ingest_worker", "reconcile", "--quick", "--json"], environment)
    total = json.loads(output)["total"]
    wanted = {"read": read, "stored": stored, "duplicate": duplicate, "rejected": 0}
    if total != wanted:
        raise BenchError(f"the figure is void: the books say {total}, not {wanted}")
    check_rows(lab, environment, stored)


def check_rows(lab: Lab, environment: Environment, rows: int) -> None:
    """Raise BenchError unless history holds so many rows."""
    found = sum(
        one_value(lab, environment, f"SELECT count(*) FROM {stream.history_table}")
        for stream in STREAMS.values()
    )
    if found != rows:
        raise BenchError(f"the figure is void: history holds {found:,} rows, not {rows:,}")


def history_bytes(lab: Lab, environment: Environment) -> dict[str, float]:
    """Heap and index bytes a row, of all streams together and of each."""
    sizes = {}
    for name, stream in STREAMS.items():
        table = stream.history_table
        query = SPREAD_BYTES if one_value(lab, environment, HAS_CITUS) else BYTES
        size = one_value(lab, environment, query.format(table=table))
        sizes[name] = (size, one_value(lab, environment, f"SELECT count(*) FROM {table}"))
    total = sum(size for size, _ in sizes.values()) / sum(rows for _, rows in sizes.values())
    return {"row_bytes": total} | {
        f"{name}_row_bytes": size / rows for name, (size, rows) in sizes.items()
    }


def wal_bytes(lab: Lab, environment: Environment) -> int:
    """WAL written since the cluster was made."""
    query = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint"
    return int(one_value(lab, environment, query))


def one_value(lab: Lab, environment: Environment, query: str) -> Any:
    """The single value a query returns."""
    with lab.connect(environment) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
