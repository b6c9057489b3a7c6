"""A pooler of sessions is as good as PostgreSQL itself; one of transactions is refused.

Behind the latter a lock stays on a backend that nobody owns, and settings get lost.
"""

from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row

from ingest_worker.write.sink import Sink
from sql.connect import connect
from sql.errors import UnsuitableDatabaseError
from tests.api_process import ApiProcess
from tests.connections import conninfo
from tests.pgbouncer import pgbouncer
from tests.sinks import METERS, new_sink, parts
from tests.stored import reading
from tests.workers import PATIENCE_S, WorkerProcess, command

REFUSED = "set its pool_mode to session"


@pytest.fixture(scope="module")
def of_transactions(environment: dict[str, str]) -> Iterator[dict[str, str]]:
    with pgbouncer(environment, "transaction") as pooled:
        yield pooled


def check_refusal(status: int, log: str) -> None:
    """The process has ended with one clear line."""
    assert status == 1, log
    assert "Traceback" not in log
    (line,) = [line for line in log.splitlines() if line.startswith("error: ")]
    assert REFUSED in line


@pytest.mark.parametrize(
    "words",
    [
        ["sql", "migrate"],
        ["sql", "status"],
        ["ingest_worker", "reconcile", "--quick"],
        ["ingest_worker", "positions", "list"],
        ["ingest_worker", "rejected", "replay", "--all"],
    ],
    ids=" ".join,
)
def test_commands_refuse_a_pooler_of_transactions(
    of_transactions: dict[str, str], words: list[str]
) -> None:
    done = command(of_transactions, *words)
    check_refusal(done.returncode, done.stderr)
    assert done.stdout == ""


def test_worker_and_api_refuse_a_pooler_of_transactions(of_transactions: dict[str, str]) -> None:
    with (
        WorkerProcess(of_transactions) as worker,
        ApiProcess(of_transactions, ready=False) as api,
    ):
        for process in (worker, api):
            check_refusal(process.process.wait(PATIENCE_S), process.log)


@pytest.mark.parametrize("pool_mode", ["transaction", "statement"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"default_pool_size": 1}, {"server_round_robin": 1}],
    ids=["as it comes", "one backend", "round robin"],
)
def test_a_pooler_of_transactions_or_statements_is_recognized(
    environment: dict[str, str], pool_mode: str, settings: dict[str, int]
) -> None:
    with pgbouncer(environment, pool_mode, **settings) as pooled:
        for _ in range(2):
            with pytest.raises(UnsuitableDatabaseError, match=REFUSED):
                connect(conninfo(pooled))
        if settings.get("default_pool_size") != 1:
            _warm(pooled, in_transactions=pool_mode == "transaction")
            with pytest.raises(UnsuitableDatabaseError, match=REFUSED):
                connect(conninfo(pooled))


def _warm(pooled: dict[str, str], *, in_transactions: bool) -> None:
    """Have the pooler open some more backends, and leave them idle."""
    with ExitStack() as undo:
        for _ in range(8):
            connection = psycopg.connect(conninfo(pooled), autocommit=not in_transactions)
            undo.enter_context(connection)
            connection.execute("SELECT 1")


def test_a_pooler_of_sessions_that_has_no_backend_left_is_none_of_transactions(
    environment: dict[str, str],
) -> None:
    with (
        pgbouncer(environment, "session", default_pool_size=1) as pooled,
        connect(conninfo(pooled), row_factory=dict_row) as connection,
    ):
        assert connection.execute("SHOW timezone").fetchone() == {"TimeZone": "UTC"}


def test_an_owner_that_is_frozen_behind_a_pooler_of_sessions_is_ended(
    own_environment: dict[str, str],
) -> None:
    with ExitStack() as undo:
        pooled = undo.enter_context(pgbouncer(own_environment, "session"))
        frozen, sink = (_closed(undo, new_sink(pooled)) for _ in range(2))
        sink.take({METERS: 0})
        connection = frozen._connect()
        connection.execute("BEGIN")
        connection.execute("UPDATE ingest_offsets SET updated_at = now()")
        with pytest.raises(errors.LockNotAvailable):
            sink.take({METERS: 0})
        sink.take({METERS: 0})
        sink.flush(parts(reading("A", 1)))
        with pytest.raises(psycopg.OperationalError):
            connection.execute("COMMIT")


def _closed(undo: ExitStack, sink: Sink) -> Sink:
    undo.callback(sink.close)
    return sink
