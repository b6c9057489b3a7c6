"""`python -m sql distribute`: every row gets onto the nodes, or everything stays as it was."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from devstack.citus import CitusStack
from reporting.applications import Application
from sql.connect import connect as connect_as
from sql.connect import conninfo
from tests.connections import connect
from tests.distributed.filled import TABLES, add_nodes, create_plain, on_nodes, placement, sums
from tests.settings import settings_of
from tests.workers import ROOT, command, wait_until

_numbers = count(1)
ALREADY = "the tables are distributed already: nothing was changed\n"
ROWS = 30_000
MANY_ROWS = 300_000
COPYING = """
SELECT pid FROM pg_stat_activity
WHERE application_name = %s AND state = 'active' AND query LIKE '%%create_distributed_table%%'
"""
FUNCTIONS = """
SELECT oid::regprocedure::text FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""
OPEN_TO_ALL = """
SELECT proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND prosecdef
    AND has_function_privilege('public', oid, 'EXECUTE')
"""
CATALOG = """
SELECT 'column', attrelid::regclass::text, attname, format_type(atttypid, atttypmod),
    attnotnull::text
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid AND relkind IN ('r', 'p')
WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'table', oid::regclass::text, relacl::text, reloptions::text, pg_get_userbyid(relowner)
FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'i')
UNION ALL
SELECT 'partition', inhrelid::regclass::text, inhparent::regclass::text, NULL, NULL
FROM pg_inherits
UNION ALL
SELECT 'index', indexname, indexdef, NULL, NULL FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT 'function', pg_proc.oid::regprocedure::text, pg_get_functiondef(pg_proc.oid), NULL, NULL
FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind <> 'a'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
ORDER BY 1, 2, 3
"""


@pytest.fixture
def plain(cluster: CitusStack) -> Iterator[dict[str, str]]:
    """A filled database that has Citus and knows the nodes, but is not distributed."""
    environment = filled(cluster, ROWS)
    yield environment
    cluster.nodes.drop_database(environment["DB_DATABASE"])


def filled(cluster: CitusStack, rows: int) -> dict[str, str]:
    environment = create_plain(cluster, f"d{next(_numbers)}", rows=rows)
    add_nodes(cluster, environment["DB_DATABASE"])
    return environment


def test_all_rows_of_a_filled_database_lie_on_the_nodes_and_none_is_left_here(
    plain: dict[str, str],
) -> None:
    before = sums(plain)
    done = command(plain, "sql", "distribute")
    assert done.returncode == 0, done.stderr
    assert sums(plain) == before
    lines = [f"distributed {name}: {before[name][0]} rows" for name in TABLES]
    assert done.stdout.splitlines() == lines
    assert "the books balance" in done.stderr
    with connect(plain) as connection:
        found = connection.execute(
            "SELECT sum(pg_relation_size(logicalrelid)) FROM pg_dist_partition"
        ).fetchone()
    assert found == (0,)


def test_an_empty_database_is_distributed_and_a_second_run_changes_nothing(
    cluster: CitusStack,
) -> None:
    empty = filled(cluster, 0)
    assert command(empty, "sql", "distribute", "--shards", "6").returncode == 0
    assert on_nodes(empty) == sorted(TABLES)
    before = placement(empty)
    again = command(empty, "sql", "distribute", "--shards", "2")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", ALREADY)
    assert placement(empty) == before
    assert [sum(part["shards"] for part in table["on"]) for table in before["tables"]] == [6] * 4


@pytest.mark.parametrize("table", ["meter_telemetry_history", "vehicle_telemetry_history"])
def test_killed_while_it_copies_it_loses_nothing_and_the_next_run_ends_it(
    cluster: CitusStack, table: str
) -> None:
    environment = filled(cluster, MANY_ROWS)
    before = sums(environment)
    with connect(environment) as connection, distributing(environment) as (process, _):

        def copies() -> Any:
            waits_for = table == TABLES[0] or TABLES[0] in on_nodes(environment)
            return waits_for and connection.execute(COPYING, [Application.MIGRATION]).fetchone()

        wait_until(copies, f"it copies {table}")
        process.kill()
        process.wait()
        gone = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
        wait_until(
            lambda: connection.execute(gone, [Application.MIGRATION]).fetchone() == (0,),
            "the server has noticed",
        )
    assert len(on_nodes(environment)) < len(TABLES)
    assert sums(environment) == before
    done = command(environment, "sql", "distribute")
    assert done.returncode == 0, done.stderr
    assert on_nodes(environment) == sorted(TABLES)
    assert sums(environment) == before


def test_nodes_know_the_functions_that_statements_call_and_keep_the_owner_s_to_the_owner(
    cluster: CitusStack, plain: dict[str, str]
) -> None:
    assert command(plain, "sql", "distribute").returncode == 0
    with connect(plain) as connection:
        here = {name for (name,) in connection.execute(FUNCTIONS).fetchall()}
    for node in cluster.nodes.workers:
        with node.connected(plain["DB_DATABASE"]) as connection:
            there = {name for (name,) in connection.execute(FUNCTIONS).fetchall()}
            assert connection.execute(OPEN_TO_ALL).fetchall() == []
        lacking = {name.partition("(")[0] for name in here - there}
        assert lacking == {"meter_as_corrected", "vehicle_as_corrected", "sessions_of"}


def test_rows_that_a_killed_run_left_here_go_with_the_next_one(plain: dict[str, str]) -> None:
    before = sums(plain)
    with connect(plain) as connection:
        connection.execute(
            "SELECT create_distributed_table('meter_telemetry_history', 'meter_id',"
            " colocate_with => 'none', shard_count => 2)"
        )
    done = command(plain, "sql", "distribute")
    assert done.returncode == 0, done.stderr
    assert {part["shards"] for table in placement(plain)["tables"] for part in table["on"]} == {1}
    with connect(plain) as connection:
        day = "meter_telemetry_history_2026_01_10"
        assert connection.execute("SELECT pg_relation_size(%s)", [day]).fetchone() == (0,)
    assert sums(plain) == before


def test_who_still_reads_the_old_rows_is_waited_for(plain: dict[str, str]) -> None:
    before = sums(plain)
    with connect(plain) as reading, distributing(plain) as (process, said):
        with reading.transaction():
            reading.execute("SELECT count(*) FROM meter_live_state")
            wait_until(lambda: "who still reads meter_live_state" in said(), "it waits")
        wait_until(lambda: process.poll() is not None, "it ends")
        assert process.returncode == 0, said()
    assert sums(plain) == before


def test_while_somebody_writes_nothing_is_done(plain: dict[str, str]) -> None:
    with connect_as(conninfo(settings_of(plain), Application.WORKER)):
        refused(plain, "energy-worker is connected (1 times, pid ", "stop the workers")
    with connect_as(conninfo(settings_of(plain), Application.API)):
        assert command(plain, "sql", "distribute").returncode == 0


def test_a_node_that_is_away_is_named(cluster: CitusStack, plain: dict[str, str]) -> None:
    worker = cluster.services["worker-2"]
    worker.kill()
    try:
        refused(plain, f"127.0.0.1:{worker.port} does not answer: ")
    finally:
        worker.start()


def test_a_role_that_does_not_get_to_the_nodes_is_named(
    cluster: CitusStack, plain: dict[str, str]
) -> None:
    with connect(plain) as connection:
        connection.execute("SET citus.enable_ddl_propagation = off")
        connection.execute("DROP ROLE IF EXISTS of_nobody")
        connection.execute("CREATE ROLE of_nobody LOGIN PASSWORD 'x'")
        connection.execute("INSERT INTO granted_roles (kind, role) VALUES ('api', 'of_nobody')")
    nodes = [f"127.0.0.1:{worker.port}" for worker in cluster.nodes.workers]
    refused(plain, "of_nobody is no role on ", *nodes, "CREATE ROLE")
    for worker in cluster.nodes.workers:
        with worker.connected(plain["DB_DATABASE"]) as connection:
            connection.execute("SET citus.enable_ddl_propagation = off")
            connection.execute("CREATE ROLE of_nobody LOGIN PASSWORD 'x'")
    refused(plain, "of_nobody does not get from the coordinator to the nodes: ")


def test_what_citus_would_refuse_is_said_before_anything_is_copied(plain: dict[str, str]) -> None:
    with connect(plain) as connection:
        connection.execute(
            "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        )
        connection.execute(
            "CREATE TRIGGER theirs AFTER INSERT ON vehicle_telemetry_history"
            " FOR EACH ROW EXECUTE FUNCTION theirs()"
        )
    refused(plain, "vehicle_telemetry_history has the trigger theirs, which Citus refuses")


def test_books_that_do_not_balance_are_said(plain: dict[str, str]) -> None:
    with connect(plain) as connection:
        connection.execute("UPDATE ingest_offsets SET stored = stored + 7, read = read + 7")
    done = command(plain, "sql", "distribute")
    assert done.returncode == 1
    assert "error: the books and the tables differ by 7 readings" in done.stderr
    assert on_nodes(plain) == sorted(TABLES)


def test_the_way_back_leaves_the_database_as_it_was(plain: dict[str, str]) -> None:
    before, schema = sums(plain), catalog(plain)
    assert command(plain, "sql", "distribute").returncode == 0
    done = command(plain, "sql", "distribute", "--undo")
    assert done.returncode == 0, done.stderr
    assert "the books balance" in done.stderr
    assert on_nodes(plain) == []
    assert sums(plain) == before
    assert catalog(plain) == schema
    again = command(plain, "sql", "distribute", "--undo")
    assert (again.returncode, again.stderr) == (0, "no table is distributed: nothing was changed\n")


def test_status_says_where_all_lies(cluster: CitusStack, plain: dict[str, str]) -> None:
    ports = [worker.port for worker in cluster.nodes.workers]
    lying = placement(plain)
    assert {table["distributed"] for table in lying["tables"]} == {False}
    assert command(plain, "sql", "distribute").returncode == 0
    lying = placement(plain)
    assert [node["takesShards"] for node in lying["nodes"]][:1] == [False]
    for table in lying["tables"]:
        found = {part["node"]: (part["shards"], part["bytes"] > 0) for part in table["on"]}
        assert found == {f"127.0.0.1:{port}": (2, True) for port in ports}, table
    lines = command(plain, "sql", "status").stdout.splitlines()
    assert f"node 127.0.0.1:{ports[0]}" in lines
    assert any(
        line.startswith(f"meter_telemetry_history  127.0.0.1:{ports[0]}  2") for line in lines
    )


def test_status_is_not_content_with_half_of_the_tables(plain: dict[str, str]) -> None:
    with connect(plain) as connection:
        connection.execute("SELECT create_distributed_table('meter_live_state', 'meter_id')")
    done = command(plain, "sql", "status")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: not all tables are distributed: `python -m sql distribute`"
    )


@contextmanager
def distributing(
    environment: dict[str, str],
) -> Iterator[tuple["subprocess.Popen[bytes]", Callable[[], str]]]:
    """`python -m sql distribute`, and what it has said so far."""
    command = [sys.executable, "-m", "sql", "distribute"]
    with tempfile.NamedTemporaryFile(prefix="distribute-", suffix=".log") as log:
        process = subprocess.Popen(command, env={**os.environ, **environment}, cwd=ROOT, stderr=log)
        try:
            yield process, lambda: Path(log.name).read_text()
        finally:
            process.kill()
            process.wait()


def refused(environment: dict[str, str], *parts: str) -> None:
    """Assert that `distribute` says all of this in its last line, and leaves all as it was."""
    before = sums(environment)
    done = command(environment, "sql", "distribute")
    assert (done.returncode, done.stdout) == (1, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert all(part in last for part in parts), done.stderr
    assert on_nodes(environment) == []
    assert sums(environment) == before


def catalog(environment: dict[str, str]) -> list[Any]:
    with connect(environment) as connection:
        return connection.execute(CATALOG).fetchall()
