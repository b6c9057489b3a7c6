"""The operator's commands as programs: their errors, their JSON, and terminals of all kinds."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import fresh_environment
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.workers import ROOT, WorkerProcess, command, counted, wait_until

HOSTILE_ID = "Säule-€-日本"
LISTS = (
    ("ingest_worker", "positions", "list"),
    ("ingest_worker", "rejected", "list"),
    ("ingest_worker", "reconcile", "--quick"),
    ("sql", "status"),
)


@pytest.fixture(scope="module")
def used(services: dict[str, str]) -> dict[str, str]:
    """An environment in which one reading was stored and two were rejected."""
    environment = fresh_environment(services)
    send(environment, meter_value("A"), b"\x00\xff junk", meter_value(HOSTILE_ID, kwh=-1))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 3, "all were read")
        worker.terminate()
    return environment


@pytest.fixture
def unmigrated(environment: dict[str, str]) -> dict[str, str]:
    name = f"{environment['DB_DATABASE']}_empty"
    with connect(environment) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name}".encode())
    return {**environment, "DB_DATABASE": name}


@pytest.mark.parametrize(
    "words",
    [
        "reconcile",
        "positions list",
        "positions set --topic METERS --partition 0 --to earliest",
        "rejected list",
        "rejected show 1",
        "rejected replay 1",
        "rejected replay --all",
        "replay --topic METERS --from 2026-01-01",
    ],
)
def test_without_a_schema_each_says_what_to_do(unmigrated: dict[str, str], words: str) -> None:
    words = words.replace("METERS", unmigrated["KAFKA_METER_TOPIC"])
    done = command(unmigrated, "ingest_worker", *words.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: the schema is missing or old, run `python -m sql migrate`\n"


def test_status_of_a_database_without_a_schema(unmigrated: dict[str, str]) -> None:
    done = command(unmigrated, "sql", "status", "--json")
    assert done.returncode == 1
    assert {one["appliedAt"] for one in json.loads(done.stdout)} == {None}


@pytest.mark.parametrize("words", ["distribute", "distribute --undo", "rebalance"])
def test_without_citus_nothing_is_distributed(used: dict[str, str], words: str) -> None:
    done = command(used, "sql", *words.split())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: the database has no extension citus: it can be distributed once PostgreSQL has"
        " Citus, see docs/citus.md\n"
    )


def test_lists_as_json(used: dict[str, str]) -> None:
    def listed(*words: str) -> Any:
        done = command(used, *words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    positions = listed("ingest_worker", "positions", "list")
    assert len(positions) == 12
    assert sum(one["position"] for one in positions) == 3
    assert {one["lag"] for one in positions} == {0}
    assert {one["groupId"] for one in positions} == {used["KAFKA_GROUP_ID"]}
    assert all(one["stopped"] is None and one["updatedAt"].endswith("Z") for one in positions)

    invalid, malformed = listed("ingest_worker", "rejected", "list")
    assert (invalid["deviceId"], invalid["reason"]) == (HOSTILE_ID, "invalid")
    assert (malformed["topic"], malformed["reason"]) == (used["KAFKA_METER_TOPIC"], "malformed")
    assert malformed["rejectedAt"].endswith("Z")
    shown = listed("ingest_worker", "rejected", "show", str(malformed["id"]))
    assert shown["rawBase64"] == "AP8ganVuaw=="
    assert {name: shown[name] for name in malformed} == malformed

    migrations = listed("sql", "status")
    assert migrations[0]["name"] == "0001_schema.sql"
    assert all(one["appliedAt"].endswith("Z") for one in migrations)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_any_terminal_gets_every_character_somehow(used: dict[str, str], encoding: str) -> None:
    hostile = {**used, "PYTHONIOENCODING": f"{encoding}:strict", "LC_ALL": "C"}

    def output_of(*words: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "ingest_worker", *words],
            env={**os.environ, **hostile},
            cwd=ROOT,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert rb"ule-\u20ac-\u65e5\u672c" in output_of("rejected", "list")
    found = json.loads(output_of("rejected", "list", "--json"))
    assert HOSTILE_ID in [one["deviceId"] for one in found]
    assert output_of("rejected", "list", "--device-id", HOSTILE_ID)


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_nobody_need_read_to_the_end(used: dict[str, str], words: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", *words],
            env={**os.environ, **used},
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 141
    assert "Traceback" not in done.stderr and "Broken pipe" not in done.stderr


def test_errors_and_progress_are_lines_of_json_when_the_log_is(used: dict[str, str]) -> None:
    as_json = {**used, "LOG_FORMAT": "json"}
    began = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    topic = used["KAFKA_METER_TOPIC"]
    for words, status in (
        (("ingest_worker", "reconcile"), 0),
        (("ingest_worker", "rejected", "replay", "--reason", "invalid"), 1),
        (("ingest_worker", "replay", "--topic", topic, "--from", began), 0),
        (("ingest_worker", "rejected", "show", "999"), 1),
        (("sql", "migrate"), 0),
        (("devstack", "freeze", "kafka", "--env-file", "/nowhere"), 1),
    ):
        done = command(as_json, *words)
        assert done.returncode == status
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert lines and all(line["time"].endswith("Z") for line in lines)
        if "show" in words or "devstack" in words:
            assert [line["level"] for line in lines] == ["error"]


@pytest.mark.parametrize("module", ["api", "bench", "devstack", "ingest_worker", "sql"])
def test_every_command_knows_its_version(module: str) -> None:
    done = command({}, module, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("energy-ingestion-engine ") and done.stdout[-2].isdigit()
