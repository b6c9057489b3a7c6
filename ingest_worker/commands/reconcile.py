"""`reconcile`: whether the books balance.

In each partition, read = stored + duplicate + rejected; and in total, the tables hold as many rows
as the books call stored and rejected. All of it is read in one snapshot, or on Citus in one of each
node, so that workers may write meanwhile.
"""

from contextlib import suppress
from typing import Any

import psycopg
from aiokafka import TopicPartition
from psycopg import errors
from psycopg.rows import dict_row

from brokers.partitions import lag, log_ends
from reporting.applications import Application
from reporting.command import print_json, say
from reporting.tables import partition_line
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from sql.citus import has_citus
from sql.connect import connect, conninfo
from sql.day_tables import day_tables
from sql.named import load, load_for
from sql.standstill import snapshot_on_all_nodes

LOOKS = 3
"""A day partition dropped between two queries looks like an imbalance, but not every time."""
COUNTS = ("read", "stored", "duplicate", "rejected")


def reconcile(settings: Settings, *, quick: bool, as_json: bool) -> bool:
    """Print the books; true when they balance. Raises psycopg.Error."""
    for _ in range(LOOKS):
        rows, tables, detached = _read_books(settings, quick=quick)
        if _balanced(rows, tables):
            break
    ends = log_ends(settings, {row["topic"] for row in rows})
    report = make_report(rows, tables, ends, detached)
    if as_json:
        print_json(report)
    else:
        _print_table(report)
    return bool(report["balanced"])


def make_report(
    rows: list[dict[str, Any]],
    tables: dict[str, int] | None,
    ends: dict[TopicPartition, int],
    detached: dict[str, int] | None = None,
) -> dict[str, Any]:
    """The report as --json prints it.

    `tables`: what the tables hold, None when not counted; `detached`: rows by name of the day
    tables that belong to no history, and count for nothing.
    """
    total = {count: sum(row[count] for row in rows) for count in COUNTS}
    partitions = [
        {
            "groupId": row["group_id"],
            "topic": row["topic"],
            "partition": row["partition"],
            **{count: row[count] for count in COUNTS},
            "position": row["next_offset"],
            "lag": lag(ends, row),
        }
        for row in rows
    ]
    report = {"balanced": _balanced(rows, tables), "total": total, "partitions": partitions}
    if tables is not None:
        report["tables"] = tables
        report["notAttached"] = [
            {"table": name, "rows": count} for name, count in (detached or {}).items()
        ]
    return report


def _balanced(rows: list[dict[str, Any]], tables: dict[str, int] | None) -> bool:
    return all(
        row["read"] == row["stored"] + row["duplicate"] + row["rejected"] for row in rows
    ) and all(sum(row[name] for row in rows) == count for name, count in (tables or {}).items())


def _read_books(
    settings: Settings, *, quick: bool
) -> tuple[list[dict[str, Any]], dict[str, int] | None, dict[str, int]]:
    queries = load("positions")
    where = conninfo(settings, Application.RECONCILE)
    with connect(where, autocommit=False, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        if has_citus(connection) and not quick:
            snapshot_on_all_nodes(connection, where)
        rows = connection.execute(queries["list"]).fetchall()
        if quick:
            return rows, None, {}
        say("counting the rows of history")
        tables = connection.execute(queries["count_kept"]).fetchone()
        assert tables is not None
        detached: dict[str, int] = {}
        for stream in STREAMS.values():
            tables["stored"] += _rows_of(connection, stream, detached)
        return rows, tables, detached


def _rows_of(
    connection: psycopg.Connection[dict[str, Any]], stream: Stream, detached: dict[str, int]
) -> int:
    """Rows of history, and of days that retention is about to take out of it but has not counted.

    Those of other tables that are named like a day but are not attached go into `detached`.
    """
    rows: int = connection.execute(load_for(stream)["count_history"]).fetchall()[0]["rows"]
    for table in day_tables(connection, stream.history_table):
        if table.state == "attached":
            continue
        count = load("days")["count"].format(partition=table.identifier)
        with suppress(errors.UndefinedTable), connection.transaction():
            found = connection.execute(count).fetchall()[0]["count"]
            if table.announced or table.state == "pending":
                rows += found
            else:
                detached[table.name] = found
    return rows


def _print_table(report: dict[str, Any]) -> None:
    columns = (*COUNTS, "position", "lag")
    print(partition_line("group", "topic", "partition", columns))
    for row in report["partitions"]:
        values = [row[name] for name in columns]
        print(partition_line(row["groupId"], row["topic"], row["partition"], values))
    print(partition_line("total", "", "", [report["total"][name] for name in COUNTS]))
    for name, count in report.get("tables", {}).items():
        print(f"in the tables: {name} = {count}")
    for table in report.get("notAttached", ()):
        print(f"not attached, so in no history: {table['table']} with {table['rows']} rows")
    print("the books balance" if report["balanced"] else "THE BOOKS DO NOT BALANCE")
