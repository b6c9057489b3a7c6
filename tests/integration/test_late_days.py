"""A worker beside an operator who works on the tables: what it reads meanwhile, what it says."""

from datetime import UTC, datetime, timedelta

from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.workers import WorkerProcess, books, counted, wait_until

NOW = datetime.now(UTC)
HISTORY = "meter_telemetry_history"
LATE = NOW - timedelta(days=90)


def test_a_late_reading_under_a_lock_holds_up_only_what_is_behind_it(
    own_environment: dict[str, str],
) -> None:
    """ANALYZE of a history table, throttled or in a transaction, keeps days from being made."""
    environment = own_environment
    topic = environment["KAFKA_METER_TOPIC"]
    with WorkerProcess(environment) as worker, connect(environment) as operator:
        send(environment, meter_value("A", NOW))
        wait_until(lambda: counted(environment)["stored"] == 1, "today's day is there")
        operator.execute("BEGIN")
        operator.execute(f"ANALYZE {HISTORY}".encode())
        behind = [meter_value("A", NOW + timedelta(seconds=second)) for second in range(1, 4)]
        send(environment, behind[0], meter_value("A", LATE), *behind[1:])
        worker.says(f"not ready: {topic}-0: waits at 2: {HISTORY} has no partition for")
        assert f"process {operator.info.backend_pid} (" in worker.log
        send(environment, *(meter_value(f"B{n}", NOW) for n in range(50)), partition=1)
        wait_until(lambda: counted(environment)["stored"] == 52, "all but those behind it")
        operator.execute("COMMIT")
        wait_until(lambda: counted(environment)["stored"] == 55, "all were stored")
        worker.says(f"{topic}-0: fine")
        assert worker.terminate() == 0
    assert books(environment)["total"] == {
        "read": 55,
        "stored": 55,
        "duplicate": 0,
        "rejected": 0,
    }


def test_a_day_that_is_detached_under_a_worker_swallows_nothing(
    own_environment: dict[str, str],
) -> None:
    environment = own_environment
    today = f"{HISTORY}_{NOW:%Y_%m_%d}"
    with WorkerProcess(environment) as worker, connect(environment) as operator:
        send(environment, meter_value("A", NOW))
        wait_until(lambda: counted(environment)["stored"] == 1, "today's day is there")
        operator.execute(f"ALTER TABLE {HISTORY} DETACH PARTITION {today}".encode())
        send(environment, meter_value("A", NOW + timedelta(seconds=1)), meter_value("A", NOW))
        wait_until(lambda: counted(environment)["read"] == 3, "the others were read")
        count = f"SELECT count(*) FROM {HISTORY}"
        assert operator.execute(count.encode()).fetchone() == (2,)
        worker.says(f"{today} was not attached to {HISTORY}")
        assert worker.terminate() == 0
    assert books(environment)["total"]["duplicate"] == 1
