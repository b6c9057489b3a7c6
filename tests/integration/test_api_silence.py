"""GET /v1/devices/silent: who counts as silent, and who does not."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.connections import connect
from tests.readings import iso

HEARD = {
    "meter": {"M-now": 0, "M-four": 4, "M-six": 6, "M-hour": 60, "M-retired": 60, "M-ahead": -4},
    "vehicle": {"V-now": 0, "V-twenty": 20, "V-unregistered": 30},
}
"""Minutes since the newest reading."""


@pytest.fixture(scope="module", autouse=True)
def now(api: httpx.Client, environment: dict[str, str]) -> datetime:
    """When the devices were as HEARD says."""
    now = datetime.now(UTC)
    for stream, heard in HEARD.items():
        registered = [*heard, f"{stream[0].upper()}-never"]
        for name in registered:
            if name != "V-unregistered":
                body = {f"{stream}Id": name, "isActive": "retired" not in name}
                assert api.post(f"/v1/devices/{stream}s", json=body).status_code == 201
        columns = {"meter": "kwh_consumed_ac, voltage", "vehicle": "kwh_delivered_dc, soc"}[stream]
        more = ", battery_temp" if stream == "vehicle" else ""
        with connect(environment) as connection:
            for name, minutes in heard.items():
                connection.execute(
                    f'INSERT INTO {stream}_live_state ({stream}_id, "timestamp", {columns}{more})'
                    f" VALUES (%s, %s, 1, 1{', 20' if more else ''})".encode(),
                    (name, now - timedelta(minutes=minutes)),
                )
    return now


def silent(api: httpx.Client, **query: Any) -> dict[str, Any]:
    answer = api.get("/v1/devices/silent", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_those_without_a_reading_for_five_minutes(api: httpx.Client, now: datetime) -> None:
    found = silent(api)
    assert [device["deviceId"] for device in found["devices"]] == [
        "M-six",
        "V-twenty",
        "V-unregistered",
        "M-hour",
        "M-never",
        "V-never",
    ]
    assert (found["meters"], found["vehicles"]) == (3, 3)
    first, *_, last = found["devices"]
    six = iso(now - timedelta(minutes=6))
    assert first == {
        "stream": "meter",
        "deviceId": "M-six",
        "lastReading": six,
        "registered": True,
    }
    assert last["deviceId"] == "V-never" and last["lastReading"] is None
    unregistered = [one["deviceId"] for one in found["devices"] if not one["registered"]]
    assert unregistered == ["V-unregistered"]
    since = datetime.fromisoformat(found["since"])
    assert timedelta(minutes=5) <= datetime.now(UTC) - since < timedelta(minutes=6)


def test_counts_are_of_all_whatever_is_shown(api: httpx.Client) -> None:
    found = silent(api, limit=2)
    assert [device["deviceId"] for device in found["devices"]] == ["M-six", "V-twenty"]
    assert (found["meters"], found["vehicles"]) == (3, 3)
    assert (found["knownMeters"], found["knownVehicles"]) == (6, 4)
    none = silent(api, limit=0)
    assert (none["meters"], none["vehicles"], none["devices"]) == (3, 3, [])


def test_other_lengths(api: httpx.Client) -> None:
    longer = silent(api, minutes=45)
    assert [device["deviceId"] for device in longer["devices"]] == [
        "M-hour",
        "M-never",
        "V-never",
    ]
    names = [device["deviceId"] for device in silent(api, minutes=3)["devices"]]
    assert names[:2] == ["M-four", "M-six"]
    for bad in ("minutes=0", "minutes=x", "limit=1001", "for=5"):
        assert api.get(f"/v1/devices/silent?{bad}").status_code == 400


def test_retired_ones_are_listed_apart_and_can_be_brought_back(api: httpx.Client) -> None:
    retired = silent(api, retired=True)
    assert [device["deviceId"] for device in retired["devices"]] == ["M-retired"]
    assert [retired[name] for name in ("meters", "vehicles", "knownMeters")] == [1, 0, 1]
    for name, active in (("M-now", False), ("M-retired", True)):
        change = {"isActive": active}
        assert api.patch(f"/v1/devices/meters/{name}", json=change).status_code == 200
    assert [device["deviceId"] for device in silent(api, retired=True)["devices"]] == ["M-now"]
    found = silent(api)
    assert found["meters"] == 4 and "M-retired" in [one["deviceId"] for one in found["devices"]]
