"""Examples for /openapi.json: made from the schemas, with the values below where a name is known.

What they show of readings comes from the descriptions of the streams.
"""

from base64 import b64encode
from http import HTTPStatus
from typing import Any
from uuid import UUID

import orjson

from schemas.errors import ErrorBody, InTheWay, Problem
from schemas.fields import parse_time
from schemas.streams import METER, STREAMS
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import Rejection
from schemas.streams.stream import TIMESTAMP
from schemas.streams.times import ClockLimits
from schemas.telemetry import problems

MIDNIGHT, NOON, HOUR_LATER = (
    "2026-01-31T00:00:00Z",
    "2026-01-31T12:00:00Z",
    "2026-01-31T13:00:00Z",
)
STREAM = METER
"""The examples show devices and a rejected reading of this stream."""


def _rejection() -> Rejection:
    """The rejection of a reading whose first value is below its minimum."""
    field = STREAM.fields[0]
    reading: dict[str, Any] = {STREAM.id_field: STREAM.id_example}
    reading |= {field.name: field.example for field in STREAM.fields}
    reading |= {field.name: field.minimum - 1, TIMESTAMP: NOON}
    found = Decoder(STREAM).decode_piece(orjson.dumps(reading), ClockLimits(0, 0), 0)
    assert isinstance(found, Rejection)
    return found


REJECTION = _rejection()
UUID_EXAMPLE = "0190f3a2-5b1c-7c3e-9d4f-2a6b8c0d1e2f"
BY_NAME: dict[str, Any] = {
    **{stream.id_field: stream.id_example for stream in STREAMS.values()},
    "deviceId": STREAM.id_example,
    "sessionId": UUID_EXAMPLE,
    "exchangeId": UUID_EXAMPLE,
    "transactionId": "TX-1",
    "connectorId": "1",
    "meterStart": 81_234.5,
    "meterStop": 81_251.2,
    "correctionId": UUID_EXAMPLE,
    "startTime": MIDNIGHT,
    "endTime": NOON,
    "madeBy": "anna",
    "at": NOON,
    "lastOfOld": 81_234.5,
    "firstOfNew": 0.2,
    "timestamp": NOON,
    "startedAt": NOON,
    "endedAt": HOUR_LATER,
    "start": MIDNIGHT,
    "end": NOON,
    "createdAt": MIDNIGHT,
    "location": "Depot 1, bay 4",
    "capacityKw": 22.0,
    "vin": "WVWZZZ1JZXW000001",
    "model": "eVan",
    "batteryCapacityKwh": 75.0,
    "maxChargeKw": 150.0,
    "reportSeconds": 60,
    "registerTolerance": 0.2,
    "registerModulus": 1_000_000.0,
    "metadata": {"floor": 2},
    "isActive": True,
    "success": True,
    "processed": 1,
    "failed": 0,
    "efficiencyRatio": 0.912,
    "efficiency": 0.912,
    "topic": f"{STREAM.name}-telemetry",
    "groupId": "energy-ingest",
    "reason": REJECTION.reason,
    "detail": REJECTION.detail,
    "raw": REJECTION.raw.decode(),
    "rawTruncated": False,
    "rawBase64": b64encode(REJECTION.raw).decode(),
    "resolvedBy": "api@127.0.0.1",
    "byReason": {"invalid": 1},
    "errors": [],
    "alerts": [],
    "warnings": [],
}
BY_FORMAT: dict[str, Any] = {"date-time": NOON, "uuid": UUID_EXAMPLE}
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
            name: BY_NAME[name]
            if name in BY_NAME and "examples" not in field
            else example(field, schemas)
            for name, field in schema.get("properties", {}).items()
        }
    return BY_FORMAT.get(schema.get("format", ""), BY_TYPE[schema["type"]])


def error_example(status: HTTPStatus) -> dict[str, Any]:
    """An error body of that status."""
    details: list[Problem | InTheWay] | None = None
    message, path = status.phrase, f"/v1/devices/{STREAM.plural}/nobody"
    if status == HTTPStatus.BAD_REQUEST:
        details = [*problems(STREAM, REJECTION, "payload")]
        message, path = "Invalid input", "/v1/telemetry/ingest"
    elif status == HTTPStatus.CONFLICT:
        details = [InTheWay(field=STREAM.id_field, session_id=UUID(UUID_EXAMPLE))]
        message = f"{STREAM.name.capitalize()} {STREAM.id_example} is in a session already"
        path = "/v1/sessions/start"
    body = ErrorBody(
        status_code=status,
        message=message,
        details=details,
        timestamp=parse_time(NOON),
        path=path,
    )
    return body.model_dump(by_alias=True, mode="json")
