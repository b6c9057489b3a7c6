"""The logs of a worker and of an API from their start to their end: no error where nothing is."""

import asyncio
import json
from typing import Any

from devstack.ports import Ports
from sql.migrate import migrate
from tests.api_process import ApiProcess
from tests.conftest import create_topics
from tests.connections import connect
from tests.kafka import send
from tests.readings import meter_value
from tests.rights import administrator
from tests.workers import PATIENCE_S, WorkerProcess, counted, wait_until

KEPT = ("time", "level", "logger", "pid", "message")


def entries(log: str) -> list[dict[str, Any]]:
    """The lines of a log, each of them JSON with the fields that all have."""
    found = [json.loads(line) for line in log.splitlines()]
    assert all(set(KEPT) <= set(entry) and entry["time"].endswith("Z") for entry in found)
    return found


def levels(log: str) -> set[str]:
    return {entry["level"] for entry in entries(log)}


def test_a_normal_start_and_stop_has_neither_errors_nor_warnings(
    own_environment: dict[str, str],
) -> None:
    environment = {**own_environment, "LOG_FORMAT": "json"}
    send(environment, meter_value("A"))
    with ApiProcess(environment) as api, WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["stored"] == 1, "it is stored")
        assert api.http.get("/v1/telemetry/stats").status_code == 200
        assert api.http.get("/metrics").status_code == 200
        assert worker.terminate() == 0
        assert api.terminate() == 0
        said = entries(worker.log)
        assert levels(worker.log) == levels(api.log) == {"info"}
    (port,) = [entry["port"] for entry in said if "on port" in entry["message"]]
    assert port > 0
    offsets = [entry["offsets"] for entry in said if "offsets" in entry]
    assert offsets[-1][f"{environment['KAFKA_METER_TOPIC']}-0"] == 0


def test_waiting_for_what_comes_later_is_no_error(own_environment: dict[str, str]) -> None:
    """First no service answers, then schema and topics are missing; both are warned of, once."""
    unused = Ports()
    nowhere = {
        "DB_PORT": str(unused.take()),
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{unused.take()}",
    }
    later = {
        "DB_DATABASE": f"{own_environment['DB_DATABASE']}_later",
        "KAFKA_METER_TOPIC": f"{own_environment['KAFKA_METER_TOPIC']}-later",
    }
    environment = administrator(own_environment) | {"LOG_FORMAT": "json"}
    with connect(environment) as connection:
        connection.execute(f"CREATE DATABASE {later['DB_DATABASE']}".encode())
    with (
        ApiProcess({**environment, **nowhere}, ready=False) as lost_api,
        WorkerProcess({**environment, **nowhere}) as lost_worker,
        ApiProcess({**environment, **later}, ready=False) as early_api,
        WorkerProcess({**environment, **later}) as early_worker,
    ):
        lost_worker.says("not ready: database")
        lost_api.says("not ready: Kafka")
        early_worker.says("the schema is missing or old")
        early_api.says("there is no topic")
        with connect({**environment, **later}) as connection:
            migrate(connection)
        early_worker.says("no topic")
        asyncio.run(create_topics(environment, [later["KAFKA_METER_TOPIC"]]))
        early_worker.says("start: fine")
        early_api.says("Kafka at", ": fine")
        processes = (lost_api, lost_worker, early_api, early_worker)
        for process in processes:
            process.process.terminate()
        for process in processes:
            assert process.process.wait(PATIENCE_S) == 0
            assert levels(process.log) == {"info", "warning"}
        warned = [entry for entry in entries(early_worker.log) if entry["level"] == "warning"]
    unused.close()
    assert [entry["subject"] for entry in warned] == ["database", "kafka"]
