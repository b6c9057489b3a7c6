"""Salvaged readings from Kafka to HTTP: null where a value was of no use; over HTTP still a 400."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.api_process import ApiProcess
from tests.conftest import fresh_environment
from tests.kafka import send
from tests.readings import iso, meter, meter_payload, vehicle, vehicle_payload
from tests.workers import WorkerProcess, books, counted, wait_until

NOW = datetime.now(UTC).replace(microsecond=0)
TIMES = [iso(NOW - timedelta(minutes=minutes)) for minutes in (3, 2, 1)]


@pytest.fixture(scope="module")
def salvaging(services: dict[str, str]) -> dict[str, str]:
    """Three readings each of a meter and of a vehicle, the last of them without all but energy."""
    environment = fresh_environment(services) | {"SALVAGE_READINGS": "true"}
    meters = [
        meter_payload("M", timestamp=TIMES[0], voltage=230.53),
        meter_payload("M", timestamp=TIMES[1], voltage=23_053),
        meter_payload("M", timestamp=TIMES[2], voltage=None),
    ]
    vehicles = [
        vehicle_payload("V", timestamp=TIMES[0]),
        vehicle_payload("V", timestamp=TIMES[1], batteryTemp=-100),
        vehicle_payload("V", timestamp=TIMES[2], soc=65_535, batteryTemp="warm"),
        vehicle_payload("V", timestamp=TIMES[2], soc=65_535, kwhDeliveredDc=-1),
    ]
    topics = (environment["KAFKA_VEHICLE_TOPIC"], environment["KAFKA_METER_TOPIC"])
    swapped = dict(zip(("KAFKA_METER_TOPIC", "KAFKA_VEHICLE_TOPIC"), topics, strict=True))
    send(environment, json.dumps(meters).encode())
    send(environment | swapped, *[json.dumps(one).encode() for one in vehicles])
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == 7, "all were read")
        assert worker.terminate() == 0
    return environment


@pytest.fixture(scope="module")
def http(salvaging: dict[str, str]) -> Iterator[httpx.Client]:
    with ApiProcess(salvaging) as process:
        yield process.http


def get(http: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_books_count_what_was_salvaged_as_stored(salvaging: dict[str, str]) -> None:
    total = books(salvaging)["total"]
    assert total == {"read": 7, "stored": 6, "duplicate": 0, "rejected": 1}


def test_history_shows_null_and_csv_nothing(http: httpx.Client) -> None:
    meters = get(http, "/v1/telemetry/meters/M/history")
    assert [one["voltage"] for one in meters] == [230.53, None, None]
    assert list(meters[1]) == ["meterId", "kwhConsumedAc", "voltage", "timestamp"]
    vehicles = get(http, "/v1/telemetry/vehicles/V/history")
    assert [(one["soc"], one["batteryTemp"]) for one in vehicles] == [
        (75.5, 32.6),
        (75.5, None),
        (None, None),
    ]
    text = http.get("/v1/telemetry/vehicles/V/history", params={"format": "csv"}).text
    assert [line.split(",")[1:4] for line in text.splitlines()] == [
        ["soc", "kwhDeliveredDc", "batteryTemp"],
        ["75.5", "45.2", "32.6"],
        ["75.5", "45.2", ""],
        ["", "45.2", ""],
    ]


def test_state_and_realtime_show_null(http: httpx.Client) -> None:
    state = get(http, "/v1/devices/vehicles/V/state")
    assert (state["soc"], state["kwhDeliveredDc"], state["batteryTemp"]) == (None, 45.2, None)
    assert state["timestamp"] == TIMES[2]
    assert get(http, "/v1/devices/meters/M/state")["voltage"] is None
    now = get(http, "/v1/analytics/realtime/V")
    assert (now["currentSoc"], now["currentBatteryTemp"]) == (None, None)
    assert now["lastUpdated"] == TIMES[2]


def test_what_was_repaired_is_listed_but_not_counted(http: httpx.Client) -> None:
    listed = get(http, "/v1/telemetry/rejected", reason="repaired")
    assert len(listed) == 4
    assert {(one["outcome"], one["resolvedBy"]) for one in listed} == {
        ("stored", "SALVAGE_READINGS")
    }
    assert {one["changed"] for one in listed} == {
        "drop voltage",
        "drop batteryTemp",
        "drop soc, drop batteryTemp",
    }
    assert {one["readingAt"] for one in listed} == set(TIMES[1:])
    (open_one,) = get(http, "/v1/telemetry/rejected", resolved="false")
    assert (open_one["reason"], open_one["readingAt"]) == ("invalid", TIMES[2])
    assert open_one["changed"] is None
    topics = get(http, "/v1/telemetry/stats")["topics"]
    assert [one["rejected"]["total"] for one in topics if one["topic"].startswith("vehicle")] == [1]
    assert all("repaired" not in one["rejected"]["byReason"] for one in topics)


@pytest.mark.parametrize(
    "record", [meter("M", voltage=None), meter("M", voltage=501), vehicle("V", soc=101)]
)
def test_over_http_every_value_has_to_be_right(http: httpx.Client, record: dict[str, Any]) -> None:
    assert http.post("/v1/telemetry/ingest", json=record).status_code == 400
    answer = http.post("/v1/telemetry/ingest/batch", json={"records": [record, meter("M2")]})
    assert (answer.status_code, answer.json()["failed"]) == (202, 1)


def test_the_schema_says_what_may_be_null(http: httpx.Client) -> None:
    schemas = get(http, "/openapi.json")["components"]["schemas"]
    kinds = [
        one.get("type") for one in schemas["StoredMeterReading"]["properties"]["voltage"]["anyOf"]
    ]
    assert sorted(kinds) == ["null", "number"]
    assert "voltage" in schemas["StoredMeterReading"]["required"]
    assert schemas["MeterReading"]["properties"]["voltage"]["type"] == "number"
