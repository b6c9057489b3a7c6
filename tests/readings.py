"""Readings and times for tests, as gateways send them: as JSON, as POSTed, as Kafka's values."""

import json
from datetime import UTC, datetime
from typing import Any

Payload = dict[str, Any]


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def now() -> str:
    """The current time as a timestamp."""
    return iso(datetime.now(UTC))


def meter_payload(device_id: str = "MTR-001", **fields: Any) -> Payload:
    """A meter's reading of now; `fields` replace or join its own."""
    own = {"meterId": device_id, "kwhConsumedAc": 50.5, "voltage": 230.53, "timestamp": now()}
    return own | fields


def vehicle_payload(device_id: str = "VH-001", **fields: Any) -> Payload:
    """A vehicle's reading of now; `fields` replace or join its own."""
    own = {"vehicleId": device_id, "soc": 75.5, "kwhDeliveredDc": 45.2, "batteryTemp": 32.6}
    return own | {"timestamp": now()} | fields


def meter(device_id: str = "MTR-001", **fields: Any) -> dict[str, Any]:
    """A record of a meter's reading, as POSTed."""
    return {"streamType": "meter", "payload": meter_payload(device_id, **fields)}


def vehicle(device_id: str = "VH-001", **fields: Any) -> dict[str, Any]:
    """A record of a vehicle's reading, as POSTed."""
    return {"streamType": "vehicle", "payload": vehicle_payload(device_id, **fields)}


def meter_value(device_id: str, time: datetime | None = None, kwh: float = 1.0) -> bytes:
    """The value of a Kafka record that holds one reading of a meter, by default of now."""
    timestamp = iso(time or datetime.now(UTC))
    payload = meter_payload(device_id, kwhConsumedAc=kwh, voltage=230.5, timestamp=timestamp)
    return json.dumps(payload).encode()


def vehicle_value(device_id: str, time: datetime | None = None, kwh: float = 1.0) -> bytes:
    """The value of a Kafka record that holds one reading of a vehicle, by default of now."""
    timestamp = iso(time or datetime.now(UTC))
    fields = {"kwhDeliveredDc": kwh, "soc": 50, "batteryTemp": 20, "timestamp": timestamp}
    return json.dumps(vehicle_payload(device_id, **fields)).encode()


def array_value(*values: bytes) -> bytes:
    """The value of a Kafka record that holds several readings."""
    return b"[" + b",".join(values) + b"]"
