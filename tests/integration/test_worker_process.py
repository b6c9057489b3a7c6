"""A worker as a process: what it waits for, what stops it, what operators do beside it."""

from pathlib import Path

import pytest

from devstack.stack import Stack
from tests.conftest import fresh_environment
from tests.connections import connect
from tests.kafka import send
from tests.probes import ask
from tests.readings import array_value, meter_value
from tests.workers import WorkerProcess, books, command, counted, wait_until


def test_a_worker_reads_says_how_it_is_and_ends_cleanly(environment: dict[str, str]) -> None:
    send(environment, meter_value("A"), b"junk")
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 2, "both were read")
        assert ask(worker, "/health/live")[0] == 200
        wait_until(lambda: ask(worker, "/health/ready")[0] == 200, "ready")
        status, text = ask(worker, "/metrics")
        assert status == 200
        topic = environment["KAFKA_METER_TOPIC"]
        for outcome in ("stored", "malformed"):
            line = f'energy_ingest_readings_total{{outcome="{outcome}",topic="{topic}"}} 1.0'
            assert line in text
        assert ask(worker, "/elsewhere")[0] == 404
        assert worker.terminate() == 0
        assert "not ready: stop: stopping" in worker.log
        assert "stopped" in worker.log
    assert books(environment, "--quick")["total"]["read"] == 2


def test_its_metrics_may_demand_a_token(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("t0ken-of-the-scraper\n")
    with WorkerProcess(environment | {"METRICS_TOKEN_FILE": str(file)}) as worker:
        assert ask(worker, "/metrics")[0] == 401
        status, text = ask(worker, "/metrics", Authorization="Bearer t0ken-of-the-scraper")
        assert status == 200 and "energy_ingest_ready" in text
        assert "t0ken" not in worker.log + text


@pytest.mark.parametrize("away", ["postgres", "kafka"])
def test_a_worker_waits_for_what_is_away(stack: Stack, away: str) -> None:
    environment = fresh_environment(stack.environment)
    send(environment, meter_value("A"))
    stack.service(away).stop()
    name = {"postgres": "database", "kafka": "kafka"}[away]
    with WorkerProcess(environment) as worker:
        worker.says(f"not ready: {name}:")
        assert ask(worker, "/health/live")[0] == 200
        status, text = ask(worker, "/health/ready")
        assert status == 503
        assert name in text
        stack.service(away).start()
        wait_until(lambda: counted(environment)["stored"] == 1, "it was stored")
        wait_until(lambda: ask(worker, "/health/ready")[0] == 200, "ready")
        assert worker.terminate() == 0


@pytest.mark.parametrize("frozen", ["postgres", "kafka"])
def test_a_worker_lives_and_ends_beside_a_frozen_service(stack: Stack, frozen: str) -> None:
    environment = fresh_environment(stack.environment)
    send(environment, meter_value("A"))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["stored"] == 1, "it was stored")
        if frozen == "postgres":
            send(environment, meter_value("B"))
        stack.service(frozen).freeze()
        try:
            wait_until(lambda: ask(worker, "/health/ready")[0] == 503, "not ready")
            assert ask(worker, "/health/live")[0] == 200
            assert worker.terminate() == 0
        finally:
            stack.service(frozen).thaw()
    with WorkerProcess(environment) as worker:
        sent = 2 if frozen == "postgres" else 1
        wait_until(lambda: counted(environment)["stored"] == sent, "nothing was lost")
        wait_until(lambda: ask(worker, "/health/ready")[0] == 200, "ready")
        assert worker.terminate() == 0


def test_many_readings_of_which_postgresql_refuses_some(own_environment: dict[str, str]) -> None:
    environment = own_environment
    with connect(environment) as connection:
        connection.execute(
            "ALTER TABLE meter_live_state ADD CONSTRAINT operators CHECK (meter_id NOT LIKE '%7')"
        )
    hundreds = [range(first, first + 100) for first in range(0, 12_000, 100)]
    send(environment, *(array_value(*(meter_value(f"M{n}") for n in ids)) for ids in hundreds))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 12_000, "all were read")
        assert worker.terminate() == 0
    counts = books(environment)["total"]
    assert (counts["stored"], counts["rejected"]) == (10_800, 1_200)


def test_a_worker_waits_for_schema_and_topics_and_can_be_stopped_meanwhile(
    environment: dict[str, str],
) -> None:
    with WorkerProcess({**environment, "DB_DATABASE": "postgres"}) as worker:
        worker.says("the schema is missing or old")
        assert worker.terminate() == 0
    with WorkerProcess({**environment, "KAFKA_METER_TOPIC": "no-such-topic"}) as worker:
        worker.says("no topic no-such-topic yet")
        assert worker.terminate() == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BATCH_SIZE", "0"),
        ("FLUSH_INTERVAL_MS", "soon"),
        ("ENERGY_READING", "daily"),
        ("METRICS_PORT", "70000"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:9092,localhost"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:99999"),
        ("KAFKA_METER_TOPIC", "no spaces"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_bad_variable_stops_the_worker_with_its_name(
    environment: dict[str, str], name: str, value: str
) -> None:
    done = command({**environment, name: value}, "ingest_worker")
    assert done.returncode == 2
    assert f"{name}={value!r}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_positions_of_a_live_owner_move_only_by_force(own_environment: dict[str, str]) -> None:
    environment = own_environment
    send(environment, *(meter_value(f"M{n}") for n in range(5)))
    words = ("ingest_worker", "positions", "set", "--topic", environment["KAFKA_METER_TOPIC"])
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 5, "all were read")
        refused = command(environment, *words, "--partition", "0", "--to", "earliest")
        assert refused.returncode == 1
        assert "--force" in refused.stderr
        forced = command(environment, *words, "--partition", "0", "--to", "2", "--force")
        assert forced.returncode == 0, forced.stderr
        wait_until(lambda: counted(environment)["duplicate"] == 3, "three were read again")
        assert worker.terminate() == 0
    beyond = command(environment, *words, "--partition", "all", "--to", "9")
    assert "holds offsets 0 to 5" in beyond.stderr
    listed = command(environment, "ingest_worker", "positions", "list")
    assert environment["KAFKA_METER_TOPIC"] in listed.stdout
    with connect(environment) as connection:
        changes = connection.execute(
            "SELECT partition, from_offset, to_offset, forced FROM position_changes"
        ).fetchall()
    assert changes == [(0, 5, 2, True)]


def test_rejected_readings_can_be_listed_and_shown(own_environment: dict[str, str]) -> None:
    environment = own_environment
    send(environment, b"\x1b[31mred\xff", meter_value("A", kwh=-1))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["rejected"] == 2, "both were rejected")
        worker.terminate()
    listed = command(environment, "ingest_worker", "rejected", "list").stdout
    assert "malformed" in listed
    only = command(environment, "ingest_worker", "rejected", "list", "--reason", "invalid").stdout
    assert "malformed" not in only
    (line,) = only.splitlines()[1:]
    assert " A " in line
    (bad,) = [line for line in listed.splitlines() if "malformed" in line]
    shown = command(environment, "ingest_worker", "rejected", "show", bad.split()[0]).stdout
    assert "\\x1b[31mred\\xff" in shown
    assert "\x1b" not in shown
    assert command(environment, "ingest_worker", "rejected", "show", "999").returncode == 1


def test_every_command_explains_itself() -> None:
    for words in (
        ["ingest_worker"],
        ["ingest_worker", "reconcile"],
        ["ingest_worker", "positions", "set"],
        ["ingest_worker", "rejected", "list"],
        ["sql"],
        ["sql", "migrate"],
    ):
        done = command({}, *words, "--help")
        assert done.returncode == 0
        assert "usage:" in done.stdout


def test_commands_end_with_one_clear_line_when_they_cannot(environment: dict[str, str]) -> None:
    nowhere = {**environment, "DB_PORT": "1"}
    for words in (["ingest_worker", "reconcile"], ["sql", "status"], ["sql", "migrate"]):
        done = command(nowhere, *words)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("error: ")
        assert "Traceback" not in done.stderr
