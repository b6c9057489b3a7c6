"""POST /v1/devices/adopt-cadence: devices take over the pace at which they were seen to report."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.connections import connect

PATH = "/v1/devices/adopt-cadence"
NOW = datetime.now(UTC)
ENERGY = {"meter": "kwh_consumed_ac", "vehicle": "kwh_delivered_dc"}
MORE = {"meter": "voltage", "vehicle": "soc, battery_temp"}


def ago(gaps_s: Iterable[float], days: float = 0) -> list[datetime]:
    """Times so far apart, the last of them `days` ago."""
    time = NOW - timedelta(days=days)
    times = [time]
    for gap_s in gaps_s:
        time -= timedelta(seconds=gap_s)
        times.append(time)
    return times


HEARD: dict[tuple[str, str], list[datetime]] = {
    ("meter", "M-minute"): ago([59.8, 60.3] * 8),
    ("meter", "M-nights"): ago(([900] * 40 + [40_000]) * 3),
    ("meter", "M-seven"): ago([7.2] * 30),
    ("meter", "M-fast"): ago([0.1] * 30),
    ("meter", "M-changed"): ago([300] * 100 + [10] * 500),
    ("meter", "M-ten-gaps"): ago([60] * 10),
    ("meter", "M-nine-gaps"): ago([60] * 9),
    ("meter", "M-long-ago"): ago([60] * 9) + ago([60] * 30, days=31.5),
    ("meter", "M-rare"): ago([2 * 86_400] * 12),
    ("meter", "both"): ago([60] * 30),
    ("vehicle", "V-ten"): ago([10.1] * 30),
    ("vehicle", "both"): ago([10] * 30),
}


@pytest.fixture(autouse=True)
def devices(api: httpx.Client, environment: dict[str, str]) -> None:
    """Registered devices, each without a pace, that reported when HEARD says."""
    with connect(environment) as connection:
        connection.execute("TRUNCATE meters, vehicles CASCADE")
        connection.execute("TRUNCATE meter_telemetry_history, vehicle_telemetry_history")
        for (stream, device_id), times in HEARD.items():
            for day in {time.astimezone(UTC).date() for time in times}:
                connection.execute(
                    "SELECT create_day_partition(%s, %s)", (f"{stream}_telemetry_history", day)
                )
            body = {f"{stream}Id": device_id}
            assert api.post(f"/v1/devices/{stream}s", json=body).status_code == 201
            places = ", 1" * (1 + len(MORE[stream].split(",")))
            connection.cursor().executemany(
                f'INSERT INTO {stream}_telemetry_history ({stream}_id, "timestamp",'
                f" {ENERGY[stream]}, {MORE[stream]}) VALUES (%s, %s{places})".encode(),
                [(device_id, time) for time in times],
            )


def adopt(api: httpx.Client, *ids: str, **more: str) -> dict[str, Any]:
    answer = api.post(PATH, json={"deviceIds": ids} | more)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def pace(api: httpx.Client, stream: str, device_id: str) -> int | None:
    found: int | None = api.get(f"/v1/devices/{stream}s/{device_id}").json()["reportSeconds"]
    return found


def test_what_was_observed_is_set(api: httpx.Client) -> None:
    paces = {
        "M-minute": (60, 60.05),
        "M-nights": (900, 900),
        "M-seven": (7, 7.2),
        "M-fast": (1, 0.1),
        "M-changed": (300, 300),
        "M-ten-gaps": (60, 60),
        "V-ten": (10, 10.1),
    }
    found = adopt(api, *paces)
    assert found["message"].startswith("7 devices have another pace than before")
    assert "past change" in found["message"]
    assert found["devices"] == [
        {
            "deviceId": device_id,
            "streamType": "meter" if device_id[0] == "M" else "vehicle",
            "reportSeconds": seconds,
            "previous": None,
            "observedSeconds": observed,
            "message": None,
        }
        for device_id, (seconds, observed) in paces.items()
    ]
    for one in found["devices"]:
        assert pace(api, one["streamType"], one["deviceId"]) == one["reportSeconds"]


def test_those_that_are_left_as_they_were_say_why(api: httpx.Client) -> None:
    """And those beside them are set."""
    for device_id in ("M-nine-gaps", "M-long-ago", "M-rare"):
        set_to = {"reportSeconds": 77}
        assert api.patch(f"/v1/devices/meters/{device_id}", json=set_to).status_code == 200
    asked = ("nobody", "M-nine-gaps", "M-long-ago", "M-rare", "V-ten")
    found = {one["deviceId"]: one for one in adopt(api, *asked)["devices"]}
    assert list(found) == list(asked)
    assert (found["nobody"]["streamType"], found["nobody"]["message"]) == (None, "Not registered")
    for device_id in ("M-nine-gaps", "M-long-ago"):
        assert "9 gaps" in found[device_id]["message"]
        assert found[device_id]["observedSeconds"] is None
    assert "at most a day" in found["M-rare"]["message"]
    assert found["M-rare"]["observedSeconds"] == 2 * 86_400
    for device_id in ("M-nine-gaps", "M-long-ago", "M-rare"):
        assert (found[device_id]["reportSeconds"], found[device_id]["previous"]) == (None, 77)
        assert pace(api, "meter", device_id) == 77
    assert pace(api, "vehicle", "V-ten") == 10


def test_both_kinds_unless_one_is_given(api: httpx.Client) -> None:
    (meter,) = adopt(api, "both", streamType="meter")["devices"]
    assert (meter["streamType"], meter["reportSeconds"]) == ("meter", 60)
    assert (pace(api, "meter", "both"), pace(api, "vehicle", "both")) == (60, None)
    one, other = adopt(api, "both", "both")["devices"]
    assert (one["streamType"], one["reportSeconds"], one["previous"]) == ("meter", 60, 60)
    assert (other["streamType"], other["reportSeconds"], other["previous"]) == ("vehicle", 10, None)
    (nobody,) = adopt(api, "V-ten", streamType="meter")["devices"]
    assert nobody["message"] == "Not registered"


def test_only_devices_whose_pace_changes_are_added_up_anew(
    api: httpx.Client, environment: dict[str, str]
) -> None:
    def logged(*ids: str) -> set[str]:
        with connect(environment) as connection:
            connection.execute("DELETE FROM rollup_log")
            message = adopt(api, *ids)["message"]
            rows = connection.execute("SELECT devices[1], first::text FROM rollup_log").fetchall()
        assert {first for _, first in rows} <= {"-infinity"}
        assert message.startswith(("No ", "1 ", "2 ")[len(rows)])
        return {device_id for device_id, _ in rows}

    updated = api.get("/v1/devices/meters/M-seven").json()["updatedAt"]
    assert logged("M-minute", "M-nine-gaps") == {"M-minute"}
    assert logged("M-minute") == set()
    assert logged("M-minute", "M-seven", "V-ten") == {"M-seven", "V-ten"}
    assert api.get("/v1/devices/meters/M-seven").json()["updatedAt"] > updated


def test_a_thousand_ids_of_any_kind_at_once(api: httpx.Client) -> None:
    """Unknown ones too, in any order, from several callers."""
    ids = ["M-minute", "V-ten", "both"] + [f"{n:03}" + "\U0001f50c" * 61 for n in range(997)]
    with ThreadPoolExecutor(4) as at_once:
        found = list(at_once.map(lambda asked: adopt(api, *asked), [ids, ids[::-1]] * 2))
    assert [len(one["devices"]) for one in found] == [1_001] * 4
    assert (pace(api, "meter", "both"), pace(api, "vehicle", "both")) == (60, 10)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"deviceIds": []},
        {"deviceIds": [""]},
        {"deviceIds": ["x" * 65]},
        {"deviceIds": [str(n) for n in range(1_001)]},
        {"deviceIds": ["M-minute"], "streamType": "charger"},
        {"deviceIds": ["M-minute"], "reportSeconds": 1},
    ],
)
def test_what_is_no_such_request(api: httpx.Client, body: dict[str, Any]) -> None:
    assert api.post(PATH, json=body).status_code == 400
    assert pace(api, "meter", "M-minute") is None
