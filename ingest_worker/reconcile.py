"""`reconcile`: do the books balance?

Per topic and partition, read = stored + duplicate + rejected; and over all, what the books call
stored and rejected is what the tables hold. One snapshot serves all questions, so that it may be
asked while workers write.
"""

import asyncio
import sys
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import orjson
import psycopg
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from psycopg import errors, sql
from psycopg.rows import dict_row

from ingest_worker.cluster import log_bounds
from schemas.readings import STREAMS
from schemas.settings import Settings
from sql.named import load

LOOKS = 3
"""A day that was dropped between two questions looks like an imbalance, but not again."""
COUNTS = ("read", "stored", "duplicate", "rejected")


def reconcile(settings: Settings, *, quick: bool, as_json: bool) -> bool:
    """Print the books; true when they balance. Raises psycopg.Error."""
    for _ in range(LOOKS):
        rows, tables = _read_books(settings, quick=quick)
        if _balanced(rows, tables):
            break
    ends = log_ends(settings, {row["topic"] for row in rows})
    report = make_report(rows, tables, ends)
    if as_json:
        print(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
    else:
        _print_table(report)
    return bool(report["balanced"])


def make_report(
    rows: list[dict[str, Any]],
    tables: dict[str, int] | None,
    ends: dict[TopicPartition, int],
) -> dict[str, Any]:
    """The report as --json prints it; `tables` are the tables' own counts, None when not asked."""
    total = {count: sum(row[count] for row in rows) for count in COUNTS}
    partitions = []
    for row in rows:
        end = ends.get(TopicPartition(row["topic"], row["partition"]))
        partitions.append(
            {
                "groupId": row["group_id"],
                "topic": row["topic"],
                "partition": row["partition"],
                **{count: row[count] for count in COUNTS},
                "position": row["next_offset"],
                "lag": None if end is None else end - row["next_offset"],
            }
        )
    report = {"balanced": _balanced(rows, tables), "total": total, "partitions": partitions}
    return report if tables is None else report | {"tables": tables}


def _balanced(rows: list[dict[str, Any]], tables: dict[str, int] | None) -> bool:
    return all(
        row["read"] == row["stored"] + row["duplicate"] + row["rejected"] for row in rows
    ) and all(sum(row[name] for row in rows) == count for name, count in (tables or {}).items())


def _read_books(
    settings: Settings, *, quick: bool
) -> tuple[list[dict[str, Any]], dict[str, int] | None]:
    queries = load("positions")
    with psycopg.connect(settings.conninfo("energy-reconcile"), row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = connection.execute(queries["list"].encode()).fetchall()
        if quick:
            return rows, None
        print("counting the rows of history", file=sys.stderr)
        tables = connection.execute(queries["count_stored"].encode()).fetchone()
        assert tables is not None
        tables["stored"] += _in_between(connection)
        return rows, tables


def _in_between(connection: psycopg.Connection[dict[str, Any]]) -> int:
    """Rows of days that retention has taken out of history, but not yet counted and dropped."""
    rows = 0
    queries = load("days")
    for stream in STREAMS.values():
        names = {"history": stream.history_table}
        for day in connection.execute(queries["list"].encode(), names).fetchall():
            if day["pending"] is not False:
                partition = sql.Identifier(day["name"])
                count = sql.SQL(queries["count"]).format(partition=partition)
                with suppress(errors.UndefinedTable), connection.transaction():
                    rows += connection.execute(count).fetchall()[0]["count"]
    return rows


def log_ends(settings: Settings, topics: Collection[str]) -> dict[TopicPartition, int]:
    """The logs' ends of those topics that exist; empty, and said, while Kafka is away."""
    try:
        bounds = asyncio.run(log_bounds(settings, topics))
    except KafkaError as error:
        print(f"lag is unknown, Kafka does not answer: {error}", file=sys.stderr)
        return {}
    return {partition: end for partition, (_, end) in bounds.items()}


def _print_table(report: dict[str, Any]) -> None:
    columns = (*COUNTS, "position", "lag")
    print(f"{'group':<24}{'topic':<24}{'partition':>9}", *(f"{name:>12}" for name in columns))
    for row in report["partitions"]:
        values = ("?" if row[name] is None else row[name] for name in columns)
        print(
            f"{row['groupId']:<24}{row['topic']:<24}{row['partition']:>9}",
            *(f"{value:>12}" for value in values),
        )
    print(f"{'total':<57}", *(f"{report['total'][name]:>12}" for name in COUNTS))
    for name, count in report.get("tables", {}).items():
        print(f"in the tables: {name} = {count}")
    print("the books balance" if report["balanced"] else "THE BOOKS DO NOT BALANCE")
