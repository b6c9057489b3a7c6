"""`reconcile`: do the books balance?

Per topic and partition, read = stored + duplicate + rejected; and over all, what the books call
stored and rejected is what the tables hold. One snapshot serves all questions, so that it may be
asked while workers write.
"""

import sys
from contextlib import suppress
from typing import Any

import orjson
import psycopg
from aiokafka import TopicPartition
from psycopg import errors, sql
from psycopg.rows import dict_row

from brokers.partitions import log_ends
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from sql.connect import conninfo
from sql.named import load, load_for

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
    with psycopg.connect(
        conninfo(settings, "energy-reconcile"), row_factory=dict_row
    ) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = connection.execute(queries["list"]).fetchall()
        if quick:
            return rows, None
        print("counting the rows of history", file=sys.stderr)
        tables = connection.execute(queries["count_kept"]).fetchone()
        assert tables is not None
        for stream in STREAMS.values():
            tables["stored"] += _rows_of(connection, stream)
        return rows, tables


def _rows_of(connection: psycopg.Connection[dict[str, Any]], stream: Stream) -> int:
    """Rows of history, and of days that retention has taken out of it but not yet counted."""
    rows: int = connection.execute(load_for(stream)["count_history"]).fetchall()[0]["rows"]
    queries = load("days")
    for day in connection.execute(queries["list"], {"history": stream.history_table}).fetchall():
        if day["pending"] is not False:
            count = queries["count"].format(partition=sql.Identifier(day["name"]))
            with suppress(errors.UndefinedTable), connection.transaction():
                rows += connection.execute(count).fetchall()[0]["count"]
    return rows


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
