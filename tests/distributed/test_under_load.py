"""Distributing and moving shards while the software runs: nobody notices, and the books balance."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count

import pytest

from devstack.citus import CitusStack
from tests.api_process import ApiProcess
from tests.conftest import create_topics
from tests.connections import connect
from tests.distributed.all_the_while import (
    HISTORY,
    STATE,
    asked_all_the_while,
    sent_all_the_while,
)
from tests.distributed.filled import add_nodes, create_plain, placement
from tests.workers import ROOT, WorkerProcess, books, command, counted, wait_until

ROWS = 60_000
KNOWS_CITUS = """
SELECT bool_and(backend_start > %s) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'energy-api'
"""
JOB = "SELECT count(*) FROM pg_dist_background_job WHERE state IN ('scheduled', 'running')"
_numbers = count(1)


@pytest.fixture
def filled(cluster: CitusStack) -> Iterator[dict[str, str]]:
    """Topics, and a filled database on the coordinator, which has no Citus yet."""
    number = f"{os.getpid()}-{next(_numbers)}"
    environment = {
        **create_plain(cluster, f"loaded{next(_numbers)}", rows=ROWS),
        "KAFKA_METER_TOPIC": f"loaded-meter-{number}",
        "KAFKA_VEHICLE_TOPIC": f"loaded-vehicle-{number}",
        "KAFKA_GROUP_ID": f"loaded-{number}",
        "METRICS_PORT": "0",
    }
    topics = [environment["KAFKA_METER_TOPIC"], environment["KAFKA_VEHICLE_TOPIC"]]
    asyncio.run(create_topics(environment, topics))
    yield environment
    cluster.nodes.drop_database(environment["DB_DATABASE"])


def test_an_api_answers_while_its_database_is_distributed(
    cluster: CitusStack, filled: dict[str, str]
) -> None:
    with ApiProcess(filled) as api:
        wanted = {path: api.http.get(path).json() for path in (HISTORY, STATE)}
        assert len(wanted[HISTORY]) == 50
        with asked_all_the_while(api, wanted) as wrong:
            add_nodes(cluster, filled["DB_DATABASE"])
            with connect(filled) as connection:
                began = connection.execute("SELECT clock_timestamp()").fetchone()
                assert began
                assert command(filled, "sql", "distribute").returncode == 0
                wait_until(
                    lambda: connection.execute(KNOWS_CITUS, began).fetchone() == (True,),
                    "the API has no connection left from before",
                )
        assert wrong == [], api.log[-6000:]
        assert {path: api.http.get(path).json() for path in wanted} == wanted


def test_shards_move_to_a_new_node_while_a_worker_writes(
    cluster: CitusStack, filled: dict[str, str]
) -> None:
    add_nodes(cluster, filled["DB_DATABASE"])
    assert command(filled, "sql", "distribute").returncode == 0
    worker = cluster.service(cluster.add_worker(filled["DB_DATABASE"]))
    with WorkerProcess(filled), sent_all_the_while(filled) as sent:
        wait_until(lambda: counted(filled)["stored"] > ROWS * 2, "it writes")
        done = command(filled, "sql", "rebalance")
        assert done.returncode == 0, done.stderr
        for table in placement(filled)["tables"]:
            assert f"127.0.0.1:{worker.port}" in {part["node"] for part in table["on"]}
    with WorkerProcess(filled) as writing:
        wanted = sum(sent) + ROWS * 2
        wait_until(lambda: counted(filled)["stored"] == wanted, "all was stored")
        assert writing.terminate() == 0
    total = {"read": wanted, "stored": wanted, "duplicate": 0, "rejected": 0}
    assert books(filled)["total"] == total
    again = command(filled, "sql", "rebalance")
    assert (again.returncode, again.stderr) == (
        0,
        "each node has its share already: nothing was moved\n",
    )


def test_citus_goes_on_when_rebalance_is_killed_and_the_next_run_follows_it(
    cluster: CitusStack, filled: dict[str, str]
) -> None:
    add_nodes(cluster, filled["DB_DATABASE"])
    assert command(filled, "sql", "distribute").returncode == 0
    worker = cluster.service(cluster.add_worker(filled["DB_DATABASE"]))
    moving = subprocess.Popen(
        [sys.executable, "-m", "sql", "rebalance"],
        env={**os.environ, **filled},
        cwd=ROOT,
        stderr=subprocess.DEVNULL,
    )
    with connect(filled) as connection:
        wait_until(lambda: connection.execute(JOB).fetchone() != (0,), "a job is there")
    moving.send_signal(signal.SIGKILL)
    moving.wait()
    done = command(filled, "sql", "rebalance")
    assert done.returncode == 0, done.stderr
    assert f"meter_telemetry_history  127.0.0.1:{worker.port}  1 shards" in done.stdout
    assert "Citus is at it already" in done.stderr or "nothing was moved" in done.stderr


def test_nothing_is_moved_before_all_is_distributed(
    cluster: CitusStack, filled: dict[str, str]
) -> None:
    done = command(filled, "sql", "rebalance")
    assert done.returncode == 1
    assert done.stderr.startswith("error: the database has no extension citus")
    add_nodes(cluster, filled["DB_DATABASE"])
    done = command(filled, "sql", "rebalance")
    assert done.returncode == 1
    assert "error: not all tables are distributed: `python -m sql distribute`\n" in done.stderr
