"""`reconcile` counts a cluster while workers write, though nobody sees all nodes at one instant."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from devstack.citus import nodes_of
from ingest_worker.commands import reconcile
from ingest_worker.commands.reconcile import _balanced, _read_books
from ingest_worker.write.batch import Part
from sql import standstill
from sql.connect import connect as connect_as
from sql.standstill import snapshot_on_all_nodes
from tests.readings import meter_value
from tests.rights import administrator, where
from tests.settings import settings_of
from tests.sinks import METERS, NOW, open_sink, parts

ROWS = 400
COUNT = "SELECT count(*) FROM meter_telemetry_history"
COMMITTED_HALF = "citus_999_1_2_3"
"""By its name no transaction that this cluster's own recovery would end."""


def flush_of(number: int) -> list[Part]:
    """Readings of many devices, so for every shard."""
    at = NOW - timedelta(days=1) + timedelta(seconds=number)
    values = [meter_value(f"MTR-{device}", at) for device in range(ROWS)]
    return parts(*values, start=number * ROWS)


@pytest.fixture
def counting(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as `reconcile` has it, which nothing was asked in."""
    with connect_as(where(own_environment), autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        yield connection


def test_the_books_balance_though_a_flush_commits_between_both_counts(
    own_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_sink(own_environment, METERS) as sink:
        sink.flush(flush_of(0))
        monkeypatch.setattr(reconcile, "say", lambda _: sink.flush(flush_of(1)))
        rows, tables, _ = _read_books(settings_of(own_environment), quick=False)
    assert tables == {"stored": ROWS, "rejected": 0}
    assert _balanced(rows, tables)


def test_a_count_holds_no_flush_up(
    own_environment: dict[str, str], counting: psycopg.Connection[Any]
) -> None:
    with open_sink(own_environment, METERS) as sink:
        sink.flush(flush_of(0))
        snapshot_on_all_nodes(counting, where(own_environment))
        sink.flush(flush_of(1))
        assert counting.execute(COUNT).fetchone() == (ROWS,)
    with connect_as(where(own_environment)) as connection:
        assert connection.execute(COUNT).fetchone() == (2 * ROWS,)


def test_what_is_committed_on_one_node_alone_is_waited_for(
    own_environment: dict[str, str],
    counting: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As after the loss of a node between both phases of a commit."""
    monkeypatch.setattr(standstill, "WITHIN_S", 0)
    nodes = nodes_of(administrator(own_environment))
    assert nodes
    with nodes.workers[0].connected(own_environment["DB_DATABASE"]) as node:
        node.execute("BEGIN")
        node.execute("CREATE TABLE half ()")
        node.execute(f"PREPARE TRANSACTION '{COMMITTED_HALF}'".encode())
        try:
            with pytest.raises(psycopg.OperationalError, match="1 transactions are committed on"):
                snapshot_on_all_nodes(counting, where(own_environment))
        finally:
            node.execute(f"ROLLBACK PREPARED '{COMMITTED_HALF}'".encode())
    counting.rollback()
    snapshot_on_all_nodes(counting, where(own_environment))


def test_a_flush_that_does_not_end_is_not_waited_for_without_end(
    own_environment: dict[str, str],
    counting: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standstill, "WITHIN_S", 0)
    with connect_as(where(own_environment), autocommit=False) as worker:
        worker.execute("UPDATE ingest_offsets SET stopped = NULL")
        with pytest.raises(psycopg.OperationalError, match="somebody holds positions"):
            snapshot_on_all_nodes(counting, where(own_environment))
