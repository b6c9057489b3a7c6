"""The table of what real meters do, as it happens: devices over HTTP, readings through Kafka."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests import reference
from tests.agreement import agree, look_up
from tests.api_process import ApiProcess
from tests.kafka import options_of
from tests.readings import iso, vehicle_value
from tests.real_meters import CASES, MOST_MINUTES, START, after
from tests.reference import Device, ReferenceFleet
from tests.workers import WorkerProcess, books, counted, wait_until

WINDOW = {"startTime": iso(START), "endTime": iso(after(MOST_MINUTES))}
PREFIXES = {name: f"{number}-" for number, name in enumerate(CASES)}
SALVAGED = "20 readings stored without that field"
BAD = ({"batteryTemp": -100}, {"soc": 65_535})
LIMITS = {"meter": "capacityKw", "vehicle": "maxChargeKw"}
AWAKE = "awake-V"
"""A vehicle whose first reading is 4 minutes ahead of time."""

Values = dict[str, list[bytes]]
"""What is sent, by stream."""


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """Everything was sent and read: the salvaged case by a worker that salvages."""
    with ApiProcess(environment) as process:
        for name, case in CASES.items():
            enter(process.http, case.fleet, PREFIXES[name])
        now = datetime.now(UTC)
        ahead = (now + timedelta(minutes=4), now)
        sent: Values = {"meter": [], "vehicle": [vehicle_value(AWAKE, time) for time in ahead]}
        salvaged = values(CASES[SALVAGED].fleet, PREFIXES[SALVAGED])
        for name, case in CASES.items():
            if name != SALVAGED:
                for stream, found in values(case.fleet, PREFIXES[name]).items():
                    sent[stream] += found
        work(environment, sent)
        work(environment | {"SALVAGE_READINGS": "true"}, salvaged)
        yield process.http


def enter(http: httpx.Client, fleet: ReferenceFleet, prefix: str) -> None:
    """Register the devices, with their exchanges, and enter the sessions."""
    for stream, devices in (("meter", fleet.meters), ("vehicle", fleet.vehicles)):
        for name, device in devices.items():
            post(
                http,
                f"/v1/devices/{stream}s",
                {f"{stream}Id": prefix + name} | like(stream, device),
            )
            for at, last_of_old, first_of_new in device.exchanges:
                body = {"at": iso(at), "lastOfOld": last_of_old, "firstOfNew": first_of_new}
                post(http, f"/v1/devices/{stream}s/{prefix}{name}/exchanges", body)
    for session in fleet.sessions:
        assert session.end
        body = {"meterId": prefix + session.meter, "vehicleId": prefix + session.vehicle}
        started = post(http, "/v1/sessions/start", body | {"startedAt": iso(session.start)})
        path = f"/v1/sessions/{started['sessionId']}/end"
        post(http, path, {"endedAt": iso(session.end)})


def like(stream: str, device: Device) -> dict[str, Any]:
    said = {
        "energyReading": "register" if device.register else "interval",
        "reportSeconds": device.pace_s,
        "registerTolerance": device.tolerance,
        "registerModulus": device.modulus,
        LIMITS[stream]: device.max_kw,
    }
    return {name: value for name, value in said.items() if value is not None}


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    content = json.dumps(body, default=float)
    answer = http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


def values(fleet: ReferenceFleet, prefix: str) -> Values:
    """The records that a gateway sends of the fleet: a field that none has is a bad one."""
    meters = [
        {"meterId": prefix + name, "kwhConsumedAc": r.kwh, "voltage": 230, "timestamp": iso(r.time)}
        for name, device in fleet.meters.items()
        for r in device.readings
    ]
    vehicles = []
    for name, device in fleet.vehicles.items():
        for time, kwh, temp in device.readings:
            fields: dict[str, Any] = {"soc": 50, "batteryTemp": -100 if temp is None else temp}
            vehicles.append((prefix + name, time, kwh, fields))
        for number, time in enumerate(device.rejected):
            fields = {"soc": 50, "batteryTemp": 25} | BAD[number % 2]
            vehicles.append((prefix + name, time, device.readings[0].kwh, fields))
    cars = [
        {"vehicleId": name, "kwhDeliveredDc": kwh, "timestamp": iso(time)} | fields
        for name, time, kwh, fields in vehicles
    ]
    return {
        stream: [json.dumps(reading, default=float).encode() for reading in found]
        for stream, found in (("meter", meters), ("vehicle", cars))
    }


def work(environment: dict[str, str], sent: Values) -> None:
    """Send these, and have a worker read them."""
    before = counted(environment)["read"]
    asyncio.run(produce(environment, sent))
    total = before + sum(map(len, sent.values()))
    with WorkerProcess(environment) as worker:
        wait_until(lambda: counted(environment)["read"] == total, "all were read")
        assert worker.terminate() == 0, worker.log


async def produce(environment: dict[str, str], sent: Values) -> None:
    async with AIOKafkaProducer(**options_of(environment)) as producer:
        for stream, found in sent.items():
            topic = environment[f"KAFKA_{stream.upper()}_TOPIC"]
            await asyncio.gather(
                *[await producer.send(topic, value, partition=0) for value in found]
            )


@pytest.mark.parametrize("name", CASES)
def test_the_table(api: httpx.Client, name: str) -> None:
    case = CASES[name]
    answer = api.get(f"/v1/analytics/performance/{PREFIXES[name]}{case.vehicle}", params=WINDOW)
    body = answer.json()
    assert {path: look_up(body, path) for path in case.true} == case.true
    assert {alert["code"]: alert["certain"] for alert in body["alerts"]} == case.alerts
    expected = reference.performance(case.fleet, case.vehicle, START, after(MOST_MINUTES))
    agree(body, expected)


def test_live_state_is_of_the_newest_reading_that_can_be(api: httpx.Client) -> None:
    updated = api.get(f"/v1/analytics/realtime/{AWAKE}").json()["lastUpdated"]
    assert datetime.fromisoformat(updated) <= datetime.now(UTC)


def test_what_was_salvaged_can_be_found(api: httpx.Client, environment: dict[str, str]) -> None:
    rows = api.get("/v1/telemetry/rejected", params={"reason": "repaired"}).json()
    assert len(rows) == 10
    assert books(environment)["total"]["rejected"] == 20
