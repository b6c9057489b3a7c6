"""Examples for /openapi.json: made by the schemas, with the values below where a name is known."""

from http import HTTPStatus
from typing import Any

from schemas.errors import ErrorBody, Problem
from schemas.fields import parse_time

MIDNIGHT, NOON, HOUR_LATER = (
    "2026-01-31T00:00:00Z",
    "2026-01-31T12:00:00Z",
    "2026-01-31T13:00:00Z",
)
BY_NAME: dict[str, Any] = {
    "meterId": "MTR-001",
    "vehicleId": "VH-001",
    "deviceId": "MTR-001",
    "sessionId": "0190f3a2-5b1c-7c3e-9d4f-2a6b8c0d1e2f",
    "timestamp": NOON,
    "startedAt": NOON,
    "endedAt": HOUR_LATER,
    "start": MIDNIGHT,
    "end": NOON,
    "createdAt": MIDNIGHT,
    "kwhConsumedAc": 150.5,
    "voltage": 230.53,
    "soc": 75.5,
    "kwhDeliveredDc": 45.2,
    "batteryTemp": 32.5,
    "location": "Depot 1, bay 4",
    "capacityKw": 22.0,
    "vin": "WVWZZZ1JZXW000001",
    "model": "eVan",
    "batteryCapacityKwh": 75.0,
    "metadata": {"floor": 2},
    "isActive": True,
    "success": True,
    "processed": 1,
    "failed": 0,
    "efficiencyRatio": 0.912,
    "efficiency": 0.912,
    "topic": "meter-telemetry",
    "groupId": "energy-ingest",
    "reason": "invalid",
    "detail": "voltage 612.0 is above 500",
    "raw": '{"meterId":"MTR-001","voltage":612.0}',
    "rawBase64": "eyJtZXRlcklkIjoiTVRSLTAwMSIsInZvbHRhZ2UiOjYxMi4wfQ==",
    "resolvedBy": "api@127.0.0.1",
    "byReason": {"invalid": 1},
    "message": None,
    "errors": [],
    "alerts": [],
}
BY_FORMAT: dict[str, Any] = {"date-time": NOON, "uuid": BY_NAME["sessionId"]}
BY_TYPE: dict[str, Any] = {
    "null": None,
    "boolean": False,
    "integer": 1,
    "number": 1.0,
    "string": "text",
}


def example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
    """A value the schema allows; `schemas` are those it may refer to."""
    if reference := schema.get("$ref"):
        return example(schemas[reference.rpartition("/")[2]], schemas)
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("examples", "enum"):
        if key in schema:
            return schema[key][0]
    if choices := schema.get("anyOf"):
        return example(choices[0], schemas)
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)]
    if schema.get("type") == "object":
        return {
            name: BY_NAME[name] if name in BY_NAME else example(field, schemas)
            for name, field in schema.get("properties", {}).items()
        }
    return BY_FORMAT.get(schema.get("format", ""), BY_TYPE[schema["type"]])


def error_example(status: HTTPStatus) -> dict[str, Any]:
    """An error body of that status."""
    invalid = status == HTTPStatus.BAD_REQUEST
    problem = Problem(field="payload.voltage", message="Expected `float` <= 500.0")
    body = ErrorBody(
        status_code=status,
        message="Invalid input" if invalid else status.phrase,
        details=[problem] if invalid else None,
        timestamp=parse_time(NOON),
        path="/v1/telemetry/ingest" if invalid else "/v1/devices/meters/MTR-9",
    )
    return body.model_dump(by_alias=True, mode="json")
