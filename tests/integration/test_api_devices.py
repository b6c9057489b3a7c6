"""Meters and vehicles over HTTP; what holds for one kind holds for the other."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from api.routes.devices import MAX_PAGE_BYTES
from tests.connections import connect

RULES = {"reportSeconds": 900, "registerTolerance": 0.5, "registerModulus": 100_000.5}
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    (
        "meters",
        "meterId",
        {"location": "Depot A", "capacityKw": 22.1, "installedAt": "2024-02-29T12:00:00.500000Z"}
        | RULES,
    ),
    (
        "vehicles",
        "vehicleId",
        {"vin": "1HGBH41JXMN109186", "batteryCapacityKwh": 75.5, "maxChargeKw": 150.5} | RULES,
    ),
]
both = pytest.mark.parametrize(("plural", "id_field", "fields"), KINDS, ids=["meters", "vehicles"])


@both
def test_register_read_change(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    path = f"/v1/devices/{plural}"
    body = {id_field: "D-1", "metadata": {"tags": ["a", {"b": 1.5}]}} | fields
    created = api.post(path, json=body)
    assert created.status_code == 201
    assert created.json().items() >= (body | {"isActive": True, "energyReading": None}).items()
    assert created.headers["Location"] == f"{path}/D-1"
    again = api.post(path, json=body)
    assert (again.status_code, again.json()["statusCode"]) == (409, 409)
    assert api.get(f"{path}/D-1").json() == created.json()

    first = next(iter(fields))
    changes = {first: None, "isActive": False, "energyReading": "register"}
    changed = api.patch(f"{path}/D-1", json=changes)
    assert changed.status_code == 200
    assert changed.json().items() >= (body | changes).items()
    assert changed.json()["updatedAt"] > created.json()["updatedAt"]
    assert api.patch(f"{path}/D-1", json={}).json() == changed.json()
    assert api.patch(f"{path}/D-1", json={id_field: "D-2"}).status_code == 400
    assert api.patch(f"{path}/nobody", json={"isActive": True}).status_code == 404


@both
def test_what_is_not_known_of_a_device_is_null(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    path = f"/v1/devices/{plural}"
    created = api.post(path, json={id_field: "unknown"}).json()
    assert {name: created[name] for name in fields} == dict.fromkeys(fields)
    assert api.patch(f"{path}/unknown", json=fields).json().items() >= fields.items()
    forgotten = api.patch(f"{path}/unknown", json=dict.fromkeys(fields)).json()
    listed = api.get(path, params={"after": "unknow", "limit": 1}).json()
    assert listed == [forgotten] == [created | {"updatedAt": forgotten["updatedAt"]}]


@both
def test_limits_of_the_fields(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    path = f"/v1/devices/{plural}"
    assert api.post(path, json={id_field: "limits"}).status_code == 201
    at_the_limit = {"reportSeconds": 86_400, "registerTolerance": 0, "registerModulus": 5e-324}
    assert api.patch(f"{path}/limits", json=at_the_limit).json().items() >= at_the_limit.items()
    bad = {
        "reportSeconds": (0, 86_401, 1.5, "60", True),
        "registerTolerance": (-0.1, "0.2"),
        "registerModulus": (0, -1),
        "maxChargeKw": (0, -1),
    }
    for name, values in bad.items():
        for value in values:
            answer = api.patch(f"{path}/limits", json={name: value})
            assert answer.status_code == 400, (name, value)
            assert [problem["field"] for problem in answer.json()["details"]] == [name]
    assert api.get(f"{path}/limits").json().items() >= at_the_limit.items()


@both
def test_ids_of_every_kind(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    for device_id in ("a/b", "a%2Fb", "ü &?#+", "..", ".", "x" * 64, "state", "a/state", "日本"):
        created = api.post(f"/v1/devices/{plural}", json={id_field: device_id})
        assert created.status_code == 201, device_id
        path = f"/v1/devices/{plural}/{quote(device_id, safe='').replace('.', '%2E')}"
        assert raw_get(api, path).json()[id_field] == device_id
        assert raw_get(api, f"{path}/state").json()["message"].endswith("not been heard of yet")


def raw_get(api: httpx.Client, path: str) -> httpx.Response:
    """httpx tidies paths up; this one is sent as it is."""
    request = api.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=path.encode())
    return api.send(request)


@pytest.mark.parametrize(
    "encoded", ["%00", "a%0Ab", "%C2%85", "%FF", "%ED%A0%80", "x" * 65, "%E6%97%A5" * 65]
)
@both
def test_ids_that_cannot_exist(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any], encoded: str
) -> None:
    for path in (f"/v1/devices/{plural}/{encoded}", f"/v1/devices/{plural}/{encoded}/state"):
        answer = raw_get(api, path)
        assert (answer.status_code, answer.json()["path"]) == (404, path)


@both
def test_lists_page_by_page(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    for number in range(5):
        api.post(f"/v1/devices/{plural}", json={id_field: f"page &/{number}"})
    everything = api.get(f"/v1/devices/{plural}", params={"limit": 1000})
    assert "Link" not in everything.headers
    ids = [device[id_field] for device in everything.json()]
    assert ids == sorted(ids) and len(ids) >= 5
    seen, path = [], f"/v1/devices/{plural}?limit=2"
    while path:
        answer = api.get(path)
        assert 1 <= len(answer.json()) <= 2
        seen += [device[id_field] for device in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert seen == ids


@both
def test_a_part_of_what_is_known_finds_devices(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    path = f"/v1/devices/{plural}"
    names = ("vin", "model") if plural == "vehicles" else ("location",)
    for number, name in enumerate(names):
        api.post(path, json={id_field: f"Find-{number}", name: "a_Ö%\\b 7", "isActive": False})
    api.post(path, json={id_field: "Find-active"})
    api.post(path, json={id_field: "FIND_active", names[0]: "aXYZb 7"})

    def found(**sought: str) -> list[str]:
        answer = api.get(path, params=sought).raise_for_status()
        return [device[id_field] for device in answer.json()]

    retired = [f"Find-{number}" for number in range(len(names))]
    assert found(search="find-") == [*retired, "Find-active"]
    assert found(search="find_") == ["FIND_active"]
    for part in ("A_Ö%\\B", "_ö", "%\\", "\\B 7"):
        assert found(search=part) == retired
    assert found(search="%a") == []
    assert found(search="find-", isActive="false") == retired
    assert found(search="find-", isActive="true") == ["Find-active"]
    assert set(found(isActive="false")) >= set(retired)
    answer = api.get(path, params={"search": "find", "limit": 2})
    rest = api.get(answer.links["next"]["url"]).json()
    assert [device[id_field] for device in rest] == found(search="find")[2:4]


@both
def test_pages_are_bounded_in_bytes(
    api: httpx.Client, plural: str, id_field: str, fields: dict[str, Any]
) -> None:
    for number in range(40):
        large = {"metadata": {"a": "x" * 65_000}} if number > 2 else {}
        answer = api.post(f"/v1/devices/{plural}", json={id_field: f"large/{number:02}"} | large)
        assert answer.status_code == 201
    seen, path = [], f"/v1/devices/{plural}?limit=1000&after=large"
    while path:
        answer = api.get(path)
        assert 0 < len(answer.content) < MAX_PAGE_BYTES + 100_000
        seen += [device[id_field] for device in answer.json()]
        path = answer.links.get("next", {}).get("url", "")
    assert [name for name in seen if name.startswith("large/")] == [
        f"large/{number:02}" for number in range(40)
    ]
    assert seen == sorted(seen)


def test_state_prints_the_shortest_form(api: httpx.Client, environment: dict[str, str]) -> None:
    with connect(environment) as connection:
        connection.execute(
            'INSERT INTO meter_live_state (kwh_consumed_ac, "timestamp", voltage, meter_id)'
            " VALUES (0.1, '2026-01-31T12:00:00.5Z', 230.53, 'unregistered')"
        )
        connection.execute(
            'INSERT INTO vehicle_live_state (kwh_delivered_dc, "timestamp", soc, battery_temp,'
            " vehicle_id) VALUES (45.2, '2026-01-31T12:00:00Z', 75.1, -0.3, 'unregistered')"
        )
    text = api.get("/v1/devices/meters/unregistered/state").text
    assert text.startswith(
        '{"meterId":"unregistered","kwhConsumedAc":0.1,"voltage":230.53,'
        '"timestamp":"2026-01-31T12:00:00.500000Z","updatedAt":"'
    )
    text = api.get("/v1/devices/vehicles/unregistered/state").text
    assert text.startswith(
        '{"vehicleId":"unregistered","soc":75.1,"kwhDeliveredDc":45.2,"batteryTemp":-0.3,'
        '"timestamp":"2026-01-31T12:00:00Z","updatedAt":"'
    )
    assert api.get("/v1/devices/meters/unregistered").status_code == 404


def test_extreme_metadata_comes_back(api: httpx.Client) -> None:
    metadata = {"big": 1e308, "small": 5e-324, "long": 2**63, "": [None, True, "\x7f'\"\\"]}
    created = api.post("/v1/devices/meters", json={"meterId": "META", "metadata": metadata})
    assert created.status_code == 201
    assert api.get("/v1/devices/meters/META").json()["metadata"] == metadata


def test_when_a_meter_was_installed_may_be_unknown(api: httpx.Client) -> None:
    path = "/v1/devices/meters/INSTALLED"
    created = api.post("/v1/devices/meters", json={"meterId": "INSTALLED"})
    assert created.json()["installedAt"] is None
    for sent, shown in (("2020-01-01T01:00:00+01:00", "2020-01-01T00:00:00Z"), (None, None)):
        assert api.patch(path, json={"installedAt": sent}).json()["installedAt"] == shown
        assert api.get(path).json()["installedAt"] == shown
    answer = api.patch(path, json={"installedAt": "2020-01-01"})
    assert [problem["field"] for problem in answer.json()["details"]] == ["installedAt"]
