"""Tests with `--citus` run on a cluster, which may grow, and whose nodes may die."""

from devstack.citus import CitusStack, nodes_of
from devstack.stack import Stack
from schemas.streams import STREAMS
from tests.conftest import fresh_environment
from tests.connections import connect
from tests.rights import SHARDS, WORKER, administrator
from tests.workers import wait_until

SPREAD = "SELECT logicalrelid::text, count(*)::int FROM pg_dist_shard GROUP BY 1"
PLACES = "SELECT DISTINCT nodeport FROM pg_dist_shard_placement ORDER BY 1"
COUNT = "SELECT count(*) FROM meter_live_state"
WRITE = """
    INSERT INTO meter_live_state (meter_id, "timestamp", kwh_consumed_ac, voltage)
    SELECT 'MTR-' || n, now(), 1, 230 FROM generate_series(1, 100) n
"""


def test_what_every_reading_touches_is_spread_over_the_workers(
    environment: dict[str, str],
) -> None:
    with connect(environment) as connection:
        tables = dict(connection.execute(SPREAD).fetchall())
        ports = [port for (port,) in connection.execute(PLACES)]
    of_readings = [(s.history_table, s.live_table) for s in STREAMS.values()]
    assert tables == {table: SHARDS for pair in of_readings for table in pair}
    nodes = nodes_of(administrator(environment))
    assert nodes and ports == sorted(worker.port for worker in nodes.workers)
    assert environment["DB_USERNAME"] == WORKER


def test_a_node_killed_and_started_again_has_what_was_committed(stack: Stack) -> None:
    environment = fresh_environment(stack.environment)
    with connect(environment) as connection:
        connection.execute(WRITE)
        stack.service("worker-1").kill()
        stack.service("worker-1").start()
        wait_until(lambda: connection.execute(COUNT).fetchone() == (100,), "all are back")


def test_a_worker_may_join_a_cluster_with_readings(stack: Stack) -> None:
    assert isinstance(stack, CitusStack)
    environment = fresh_environment(stack.environment)
    with connect(environment) as connection:
        connection.execute(WRITE)
        name = stack.add_worker(environment["DB_DATABASE"])
        connection.execute("SELECT rebalance_table_shards()")
        ports = [port for (port,) in connection.execute(PLACES)]
        assert stack.service(name).port in ports
        assert connection.execute(COUNT).fetchone() == (100,)
