"""Days on a cluster are made, packed and dropped on every node, by roles that own nothing."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from devstack.citus import nodes_of
from ingest_worker.errors import DutyFailedError
from ingest_worker.housekeeping.days_ahead import DAYS_AHEAD, make_days
from ingest_worker.housekeeping.reindexing import OVER_SINCE, pack_day
from ingest_worker.housekeeping.retention import DETACH_WITHIN_S, retire_days
from sql.connect import connect as connect_as
from tests.rights import OWNER, WORKER, administrator, role, where

HISTORY = "meter_telemetry_history"
DAY = datetime(2026, 1, 30, tzinfo=UTC)
PARTITION = f"{HISTORY}_2026_01_30"
AFTER = DAY + timedelta(days=1) + OVER_SINCE
ROWS = 30_000


@pytest.fixture
def worker(own_environment: dict[str, str]) -> Iterator[psycopg.Connection[Any]]:
    """A worker's connection, and a day of fifty devices that it has stored."""
    with connect_as(where(own_environment)) as connection:
        connection.execute("SELECT ensure_day_partition(%s, %s)", (HISTORY, DAY.date()))
        grow(connection, first=0, minutes=ROWS // 50)
        yield connection


def grow(connection: psycopg.Connection[Any], *, first: int, minutes: int) -> None:
    connection.execute(
        f"""INSERT INTO {HISTORY}
        SELECT 1, %s::timestamptz + minute * interval '1 minute', 230, 'MTR-' || device
        FROM generate_series(%s::int, %s::int) AS minute, generate_series(1, 50) AS device
        """.encode(),
        (DAY, first, first + minutes - 1),
    )


@contextmanager
def on_nodes(environment: dict[str, str]) -> Iterator[list[psycopg.Connection[Any]]]:
    """Their superuser's connections to the workers' databases, where shards are to be seen."""
    nodes = nodes_of(administrator(environment))
    assert nodes
    with ExitStack() as opened:
        database = environment["DB_DATABASE"]
        connections = [opened.enter_context(node.connected(database)) for node in nodes.workers]
        for connection in connections:
            connection.execute("SET citus.override_table_visibility = off")
        yield connections


def named_on(connection: psycopg.Connection[Any], pattern: str) -> set[str]:
    found = connection.execute("SELECT relname FROM pg_class WHERE relname ~ %s", (pattern,))
    return {name for (name,) in found}


def packed(connection: psycopg.Connection[Any], now: datetime) -> str | None:
    """The day that is packed, once the nodes have told how many rows it has."""
    connection.execute("SELECT run_command_on_all_nodes('SELECT pg_stat_force_next_flush()')")
    return pack_day(connection, now)


def test_days_ahead_lie_beside_the_live_states(
    own_environment: dict[str, str], worker: psycopg.Connection[Any]
) -> None:
    make_days(worker, DAY)
    groups = worker.execute(
        "SELECT DISTINCT colocationid FROM pg_dist_partition"
        " JOIN pg_class ON logicalrelid = pg_class.oid WHERE relkind IN ('r', 'p')"
    )
    assert len(groups.fetchall()) == 1
    with on_nodes(own_environment) as nodes:
        for node in nodes:
            days = named_on(node, f"^{HISTORY}_2026_0[0-9_]+_[0-9]{{6}}$")
            assert len(days) == 2 * (DAYS_AHEAD + 1)


@pytest.mark.parametrize("who", [WORKER, OWNER])
def test_a_day_that_is_retired_is_gone_from_every_node(
    own_environment: dict[str, str], worker: psycopg.Connection[Any], who: str
) -> None:
    """Also where somebody retires it who may detach CONCURRENTLY elsewhere."""
    with connect_as(where(role(own_environment, who))) as connection:
        assert retire_days(connection, DAY + timedelta(days=9), 3) == [PARTITION]
    assert worker.execute("SELECT rows FROM retired_days").fetchall() == [(ROWS,)]
    with on_nodes(own_environment) as nodes:
        for node in nodes:
            assert not named_on(node, f"^{PARTITION}")


def test_what_is_locked_on_a_node_holds_nobody_up_for_long(
    own_environment: dict[str, str], worker: psycopg.Connection[Any]
) -> None:
    """A DETACH that waits there keeps the coordinator's lock, behind which every flush queues."""
    with on_nodes(own_environment) as (node, *_):
        (shard,) = [*named_on(node, f"^{PARTITION}_[0-9]{{6}}$")][:1]
        node.execute(f"SET idle_in_transaction_session_timeout = '{9 * DETACH_WITHIN_S}s'".encode())
        node.execute("BEGIN")
        node.execute(f"SELECT FROM {shard} LIMIT 1".encode())
        with pytest.raises(DutyFailedError, match=f"{PARTITION}: 55P03"):
            retire_days(worker, DAY + timedelta(days=9), 3)
        node.execute("ROLLBACK")
    assert worker.execute(f"SELECT count(*) FROM {HISTORY}".encode()).fetchone() == (ROWS,)
    assert retire_days(worker, DAY + timedelta(days=9), 3) == [PARTITION]


def test_a_day_is_packed_on_every_node(
    own_environment: dict[str, str], worker: psycopg.Connection[Any]
) -> None:
    sizes = "SELECT sum(key_bytes)::int FROM day_sizes(%s)"
    before: Any = worker.execute(sizes, (HISTORY,)).fetchone()
    assert packed(worker, AFTER) is None  # it may be growing
    assert packed(worker, AFTER) == PARTITION
    after: Any = worker.execute(sizes, (HISTORY,)).fetchone()
    assert 0 < after[0] < before[0] * 0.9
    with on_nodes(own_environment) as nodes:
        for node in nodes:
            vacuumed = "SELECT bool_and(pg_stat_get_vacuum_count(oid) > 0) FROM pg_class"
            shards = f"^{PARTITION}_[0-9]{{6}}$"
            found = node.execute(f"{vacuumed} WHERE relname ~ %s".encode(), (shards,))
            assert found.fetchone() == (True,)
    grow(worker, first=ROWS // 50, minutes=600)
    worker.execute("UPDATE packed_days SET tried_at = tried_at - interval '2 hours'")
    assert packed(worker, AFTER) is None  # it has grown


def test_what_a_rebuild_left_on_one_node_is_removed(
    own_environment: dict[str, str], worker: psycopg.Connection[Any]
) -> None:
    packed(worker, AFTER)
    with on_nodes(own_environment) as (node, *_):
        (shard,) = [*named_on(node, f"^{PARTITION}_[0-9]{{6}}$")][:1]
        node.execute(f"CREATE INDEX {shard}_ccnew ON {shard} (voltage)".encode())
        node.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::text::regclass",
            (f"{shard}_ccnew",),
        )
        assert packed(worker, AFTER) == PARTITION
        assert not named_on(node, "_ccnew")
