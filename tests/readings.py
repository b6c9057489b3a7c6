"""Readings and times for tests, as gateways send them."""

from datetime import UTC, datetime
from typing import Any


def iso(time: datetime) -> str:
    """ISO 8601 in UTC with Z."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def now() -> str:
    """The current time as a timestamp."""
    return iso(datetime.now(UTC))


def meter(device_id: str = "MTR-001", **fields: Any) -> dict[str, Any]:
    """A record of a meter's reading, as POSTed."""
    payload = {"meterId": device_id, "kwhConsumedAc": 50.5, "voltage": 230.53, "timestamp": now()}
    return {"streamType": "meter", "payload": payload | fields}


def vehicle(device_id: str = "VH-001", **fields: Any) -> dict[str, Any]:
    """A record of a vehicle's reading, as POSTed."""
    payload = {
        "vehicleId": device_id,
        "soc": 75.5,
        "kwhDeliveredDc": 45.2,
        "batteryTemp": 32.6,
        "timestamp": now(),
    }
    return {"streamType": "vehicle", "payload": payload | fields}
