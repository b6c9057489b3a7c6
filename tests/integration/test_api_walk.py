"""The walk of a new user: register, start a session, send readings, see the figures, end it."""

from datetime import UTC, datetime

import httpx

from tests.readings import meter, vehicle
from tests.workers import WorkerProcess, wait_until


def test_the_walk(api: httpx.Client, environment: dict[str, str]) -> None:
    with WorkerProcess(environment):
        _walk(api)


def _walk(api: httpx.Client) -> None:
    body = {"meterId": "MTR-001", "location": "Depot A", "capacityKw": 22.5}
    registered = api.post("/v1/devices/meters", json=body)
    assert registered.status_code == 201
    assert registered.json().items() >= (body | {"isActive": True, "metadata": {}}).items()
    body = {"vehicleId": "VH-001", "vin": "1HGBH41JXMN109186", "model": "Model 3"}
    assert api.post("/v1/devices/vehicles", json=body).status_code == 201

    pair = {"meterId": "MTR-001", "vehicleId": "VH-001"}
    started = api.post("/v1/sessions/start", json=pair)
    assert started.status_code == 201
    session = started.json()
    assert session.items() >= (pair | {"endedAt": None, "isActive": True}).items()
    assert datetime.fromisoformat(session["startedAt"]).microsecond == 0

    sent = [meter("MTR-001"), vehicle("VH-001")]
    for record in sent:
        taken = api.post("/v1/telemetry/ingest", json=record)
        assert taken.status_code == 202
        expected = {"success": True, "processed": 1, "failed": 0, "errors": []}
        assert taken.json().items() >= expected.items()

    path = "/v1/devices/vehicles/VH-001/state"
    wait_until(lambda: api.get(path).status_code == 200, "the vehicle's reading is stored")
    state = api.get(path).json()
    for name in ("vehicleId", "soc", "kwhDeliveredDc", "batteryTemp"):
        assert state[name] == sent[1]["payload"][name]
    assert set(state) == {*sent[1]["payload"], "updatedAt"}
    assert state["timestamp"].endswith("Z")
    path = "/v1/devices/meters/MTR-001/state"
    wait_until(lambda: api.get(path).status_code == 200, "the meter's reading is stored")
    assert '"voltage":230.53,' in api.get(path).text

    _look_at_figures(api, sent[1]["payload"]["timestamp"])

    end = f"/v1/sessions/{session['sessionId']}/end"
    ended = api.post(end)
    assert ended.status_code == 200 and ended.json()["isActive"] is False
    assert api.post(end).status_code == 409
    assert api.get("/v1/sessions/active").json() == []
    assert api.get(f"/v1/sessions/{session['sessionId']}").json() == ended.json()


def _look_at_figures(api: httpx.Client, timestamp: str) -> None:
    figures = api.get("/v1/analytics/performance/VH-001").json()
    assert figures["metrics"] == {
        "totalEnergyConsumedAc": 50.5,
        "totalEnergyDeliveredDc": 45.2,
        "efficiencyRatio": 0.895,
        "averageBatteryTemp": 32.6,
        "chargingSessions": 1,
        "readingCount": 1,
    }
    time = datetime.fromisoformat(timestamp).astimezone(UTC)
    hour = time.replace(minute=0, second=0, microsecond=0, tzinfo=None).isoformat() + "Z"
    assert figures["hourlyBreakdown"] == [
        {"hour": hour, "energyAc": 50.5, "energyDc": 45.2, "avgTemp": 32.6, "efficiency": 0.895}
    ]
    assert api.get("/v1/analytics/realtime/VH-001").json() == {
        "vehicleId": "VH-001",
        "currentSoc": 75.5,
        "currentBatteryTemp": 32.6,
        "lastUpdated": timestamp,
        "isCharging": True,
    }
    stats = {topic["topic"]: topic for topic in api.get("/v1/telemetry/stats").json()["topics"]}
    assert [(t["read"], t["stored"], t["lag"]) for t in stats.values()] == [(1, 1, 0), (1, 1, 0)]
