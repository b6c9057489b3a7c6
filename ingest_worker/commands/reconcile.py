"""`reconcile`: whether the books balance.

In each partition, read = stored + duplicate + rejected; and in total, the tables hold as many rows
as the books call stored and rejected. All of it is read in one snapshot, so that workers may write
meanwhile.
"""

from contextlib import suppress
from typing import Any

import psycopg
from aiokafka import TopicPartition
from psycopg import errors, sql
from psycopg.rows import dict_row

from brokers.partitions import lag, log_ends
from reporting.applications import Application
from reporting.command import print_json, say
from reporting.tables import partition_line
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.stream import Stream
from sql.connect import connect, conninfo
from sql.named import load, load_for

LOOKS = 3
"""A day partition dropped between two queries looks like an imbalance, but not every time."""
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
        print_json(report)
    else:
        _print_table(report)
    return bool(report["balanced"])


def make_report(
    rows: list[dict[str, Any]],
    tables: dict[str, int] | None,
    ends: dict[TopicPartition, int],
) -> dict[str, Any]:
    """The report as --json prints it; `tables`: what the tables hold, None when not counted."""
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
    return report if tables is None else report | {"tables": tables}


def _balanced(rows: list[dict[str, Any]], tables: dict[str, int] | None) -> bool:
    return all(
        row["read"] == row["stored"] + row["duplicate"] + row["rejected"] for row in rows
    ) and all(sum(row[name] for row in rows) == count for name, count in (tables or {}).items())


def _read_books(
    settings: Settings, *, quick: bool
) -> tuple[list[dict[str, Any]], dict[str, int] | None]:
    queries = load("positions")
    where = conninfo(settings, Application.RECONCILE)
    with connect(where, autocommit=False, row_factory=dict_row) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = connection.execute(queries["list"]).fetchall()
        if quick:
            return rows, None
        say("counting the rows of history")
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
    print(partition_line("group", "topic", "partition", columns))
    for row in report["partitions"]:
        values = [row[name] for name in columns]
        print(partition_line(row["groupId"], row["topic"], row["partition"], values))
    print(partition_line("total", "", "", [report["total"][name] for name in COUNTS]))
    for name, count in report.get("tables", {}).items():
        print(f"in the tables: {name} = {count}")
    print("the books balance" if report["balanced"] else "THE BOOKS DO NOT BALANCE")
