"""`check-gateway` says of what a gateway sent what workers then do with it."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.debian import program
from tests.kafka import send
from tests.readings import array_value, meter_value, now, vehicle_value
from tests.workers import ROOT, WorkerProcess, books, command, wait_until

NOON = datetime.now(UTC).replace(microsecond=0)
KCAT = re.compile(r"^    (.*kcat .*-P.*)$", re.MULTILINE)


def test_it_foretells_what_workers_reject(environment: dict[str, str]) -> None:
    topic = environment["KAFKA_METER_TOPIC"]
    twice = meter_value("TWICE", NOON)
    send(environment, *(meter_value(f"M{n}") for n in range(30)), b"junk", partition=1)
    send(environment, meter_value("LOW", kwh=-1), array_value(twice, meter_value("OK")))
    send(environment, twice, meter_value("TWICE", NOON, kwh=7))
    done = command(environment, "devstack", "check-gateway", "--json")
    assert done.returncode == 1, done.stderr
    meters, vehicles = json.loads(done.stdout)
    assert (vehicles["records"], vehicles["rejected"]) == (0, {})
    assert meters["rejected"] == {"malformed": 1, "invalid": 1}
    assert (meters["conflicts"], meters["duplicates"]) == (1, 1)
    (example,) = meters["examples"]["invalid"]
    assert (example["where"], example["device"]) == (f"{topic}-0@0 [0]", "LOW")
    assert any("send arrays" in advice for advice in meters["advice"])
    told = command(environment, "devstack", "check-gateway", "--topic", topic).stdout
    assert f"{topic}-1@30 (no device): JSON is malformed" in told
    with WorkerProcess(environment):
        wait_until(lambda: books(environment)["total"]["read"] == meters["readings"], "all is read")
    total = books(environment)["total"]
    assert total["rejected"] == sum(meters["rejected"].values()) + meters["conflicts"]
    assert total["duplicate"] == meters["duplicates"]


def test_a_file_is_looked_at_without_kafka(tmp_path: Path) -> None:
    file = tmp_path / "sent"
    file.write_bytes(vehicle_value("V") + b"\n\n" + vehicle_value("V", kwh=-1) + b"\n")
    nowhere = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    words = ["devstack", "check-gateway", "--topic", "vehicle-telemetry", "--file", str(file)]
    done = command(nowhere, *words)
    assert done.returncode == 1
    assert "line 3 [0] V: " in done.stdout
    file.write_bytes(vehicle_value("V"))
    assert command(nowhere, *words).returncode == 0
    assert command(nowhere, "devstack", "check-gateway", "--topic", "x").returncode == 1


def test_the_documents_commands_send_what_is_stored(own_environment: dict[str, str]) -> None:
    text = (ROOT / "docs" / "gateways.md").read_text()
    kcat = program("kcat", "kcat", missing="this test needs kcat: install the package kcat")
    (line,) = KCAT.findall(text)
    for shown, ours in (
        ("localhost:9092", own_environment["KAFKA_BOOTSTRAP_SERVERS"]),
        ("meter-telemetry", own_environment["KAFKA_METER_TOPIC"]),
        ("2026-01-31T12:00:00Z", now()),
        ("kcat ", f"{kcat} "),
    ):
        line = line.replace(shown, ours)
    subprocess.run(["bash", "-c", line], check=True, timeout=60)
    code = text.split("```python\n")[1].split("```")[0]
    for shown, ours in (
        ("localhost:9092", own_environment["KAFKA_BOOTSTRAP_SERVERS"]),
        ("meter-telemetry", own_environment["KAFKA_METER_TOPIC"]),
    ):
        code = code.replace(shown, ours)
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    checked = command(own_environment, "devstack", "check-gateway")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with WorkerProcess(own_environment):
        wait_until(lambda: books(own_environment)["total"]["stored"] == 3, "all are stored")
