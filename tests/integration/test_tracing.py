"""Spans of a real worker and a real API, at a real receiver; and the id of a request in the log."""

import json
import signal
import socket
import time
from functools import partial
from typing import Any

from devstack.ports import Ports
from reporting.otlp import END_WITHIN_S
from tests.api_process import ApiProcess
from tests.kafka import send
from tests.otlp import receiver
from tests.readings import meter_value
from tests.workers import PATIENCE_S, WorkerProcess, counted, wait_until

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{CALLER}-01", "X-Request-Id": "order-66"}
HISTORY = "GET /v1/telemetry/meters/{id}/history"
SECRET = "opensesame"
STOPS_WITHIN_S = END_WITHIN_S + 4.0
"""With room to leave the group, and for a busy machine."""
SERVER, CLIENT, CONSUMER = 2, 3, 5
"""The kinds of spans, as OTLP numbers them."""


def traced(environment: dict[str, str], port: int) -> dict[str, str]:
    return environment | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer {SECRET}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3000",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_TRACES_SAMPLER": "",
        "LOG_FORMAT": "json",
    }


def reading() -> dict[str, Any]:
    return {"streamType": "meter", "payload": json.loads(meter_value("A"))}


def stored(environment: dict[str, str], count: int) -> bool:
    return counted(environment)["stored"] == count


def test_a_reading_is_traced_from_the_request_to_the_commit(
    own_environment: dict[str, str],
) -> None:
    with receiver() as received:
        environment = traced(own_environment, received.port)
        with ApiProcess(environment) as api, WorkerProcess(environment) as worker:
            sent = api.http.post("/v1/telemetry/ingest", json=reading(), headers=HEADERS)
            assert sent.status_code == 202 and sent.headers["x-request-id"] == "order-66"
            wait_until(partial(stored, environment, 1), "it is stored")
            asked = api.http.get("/v1/telemetry/meters/A/history")
            assert asked.status_code == 200
            assert api.http.get("/health").status_code == 200
            assert worker.terminate() == 0
            wait_until(partial(received.named, HISTORY), "the API's spans come")
            assert SECRET not in worker.log + api.log
        (request,) = received.named("POST /v1/telemetry/ingest")
        assert (request["trace"], request["parent"], request["kind"]) == (TRACE, CALLER, SERVER)
        assert request["http.route"] == "/v1/telemetry/ingest"
        assert (request["http.request.method"], request["http.response.status_code"]) == (
            "POST",
            202,
        )
        assert request["energy.request"] == "order-66"
        (history,) = received.named(HISTORY)
        assert history["url.path"] == "/v1/telemetry/meters/A/history"
        assert history["energy.request"] == asked.headers["x-request-id"] != "order-66"
        below = received.below(history)
        assert "connection" in below and any(name.startswith("meter.") for name in below), below
        (flush,) = received.named("flush")
        assert (flush["parent"], flush["links"], flush["kind"]) == ("", [request["id"]], CONSUMER)
        assert flush["energy.flush.readings"] == flush["messaging.batch.message_count"] == 1
        assert flush["energy.flush.cause"] == "caught_up"
        assert flush["energy.flush.outcome"] == "written"
        (partition,) = flush["energy.flush.partitions"]
        assert partition.startswith(own_environment["KAFKA_METER_TOPIC"])
        assert flush["energy.flush.bytes"] == len(
            json.dumps(reading()["payload"], separators=(",", ":"))
        )
        (transaction,) = received.named("transaction")
        assert (transaction["parent"], transaction["kind"]) == (flush["id"], CLIENT)
        assert (transaction["energy.stored"], transaction["energy.rejected"]) == (1, 0)
        assert received.below(transaction) == {"copy", "live", "commit"}
        services = {span["resource"]["service.name"] for span in received.spans}
        assert services == {"energy-api", "energy-ingest-worker"}
        assert flush["resource"]["deployment.environment.name"] == "test"
        assert received.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert not [span for span in received.spans if "health" in span["name"] or span["failed"]]


def test_a_receiver_that_is_away_or_silent_holds_nothing_up(
    own_environment: dict[str, str],
) -> None:
    unused = Ports()
    away = traced(own_environment, unused.take())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(PATIENCE_S)
        hanging = traced(own_environment, silent.getsockname()[1])
        hanging["OTEL_EXPORTER_OTLP_TIMEOUT"] = "60000"
        with ApiProcess(hanging) as api, WorkerProcess(away) as worker:
            for count in (1, 2):
                send(own_environment, meter_value(f"A{count}"))
                wait_until(partial(stored, own_environment, count), "it is stored")
                assert api.http.get("/v1/telemetry/meters/A1/history").status_code == 200
            worker.says("degraded: traces: ")
            waiting, _ = silent.accept()
            began = time.monotonic()
            worker.process.terminate()
            api.process.send_signal(signal.SIGINT)  # without its drain
            assert worker.process.wait(60) == 0 == api.process.wait(60)
            assert time.monotonic() - began < STOPS_WITHIN_S
            waiting.close()
            said = [json.loads(line) for line in (worker.log + api.log).splitlines()]
    unused.close()
    reasons = [entry["reason"] for entry in said if entry.get("subject") == "traces"]
    assert len(reasons) == 1 and "Connection refused" in reasons[0], reasons
    assert not [entry for entry in said if entry["level"] == "error"]
