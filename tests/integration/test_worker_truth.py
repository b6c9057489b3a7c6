"""What a worker says of itself is true while PostgreSQL or Kafka is frozen, and when it is idle."""

from aiokafka import TopicPartition

from devstack.stack import Stack
from tests.conftest import fresh_environment
from tests.kafka import group_offsets, send
from tests.probes import ask, metric, reasons
from tests.readings import meter_value
from tests.workers import WorkerProcess, counted, wait_until

LAG = "energy_ingest_lag_records"
LAG_UPDATED = "energy_ingest_lag_updated_timestamp_seconds"


def test_lag_grows_while_postgresql_hangs_and_is_unknown_while_kafka_does(stack: Stack) -> None:
    environment = fresh_environment(stack.environment)
    postgres, kafka = stack.service("postgres"), stack.service("kafka")
    partition = ("0", environment["KAFKA_METER_TOPIC"])
    send(environment, meter_value("A"))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["stored"] == 1, "it was stored")
        wait_until(lambda: metric(worker, LAG).get(partition) == 0, "no lag")
        wait_until(lambda: not reasons(worker), "ready")
        postgres.freeze()
        send(environment, *(meter_value(f"M{n}") for n in range(300)))
        wait_until(lambda: metric(worker, LAG).get(partition) == 300, "the lag is the true one")
        wait_until(lambda: ask(worker, "/health/ready")[0] == 503, "not ready")
        assert "positions" in reasons(worker) or "database" in reasons(worker)
        assert "kafka" not in reasons(worker)
        send(environment, *(meter_value(f"N{n}") for n in range(500)))
        wait_until(lambda: metric(worker, LAG).get(partition) == 800, "the lag goes on growing")
        postgres.thaw()
        wait_until(lambda: metric(worker, LAG).get(partition) == 0, "no lag any more")
        wait_until(lambda: not reasons(worker), "ready again")

        kafka.freeze()
        wait_until(lambda: "no answer" in reasons(worker).get("kafka", ""), "Kafka is missed")
        assert partition not in metric(worker, LAG)
        last_known = metric(worker, LAG_UPDATED)[()]
        assert ask(worker, "/health/live")[0] == 200
        kafka.thaw()
        wait_until(lambda: not reasons(worker), "ready once more")
        wait_until(lambda: metric(worker, LAG).get(partition) == 0, "the lag is known again")
        assert metric(worker, LAG_UPDATED)[()] > last_known
        assert worker.terminate() == 0


def test_the_group_catches_up_while_nothing_comes_in(own_environment: dict[str, str]) -> None:
    environment = own_environment
    partition = TopicPartition(environment["KAFKA_METER_TOPIC"], 0)
    with WorkerProcess(environment) as worker:
        send(environment, meter_value("A"))
        wait_until(lambda: counted(environment)["stored"] == 1, "it was stored")
        wait_until(lambda: committed(environment).get(partition) == 1, "acknowledged")
        send(environment, meter_value("B"), meter_value("C"))
        wait_until(lambda: committed(environment).get(partition) == 3, "acknowledged when idle")
        assert worker.terminate() == 0


def committed(environment: dict[str, str]) -> dict[TopicPartition, int]:
    """The group's offsets, as lag tools see them."""
    return {partition: one.offset for partition, one in group_offsets(environment).items()}


def test_every_count_is_there_before_anything_is_counted(own_environment: dict[str, str]) -> None:
    with WorkerProcess(own_environment) as worker:
        read = metric(worker, "energy_ingest_readings_total")
        for name in ("KAFKA_METER_TOPIC", "KAFKA_VEHICLE_TOPIC"):
            for outcome in ("stored", "duplicate", "malformed", "refused", "conflict"):
                assert read[(outcome, own_environment[name])] == 0
        assert metric(worker, "energy_ingest_side_task_failures_total")[("housekeeping",)] == 0
        assert metric(worker, "energy_ingest_retries_total")[("none",)] == 0
        assert list(metric(worker, "energy_ingest_build_info").values()) == [1]
