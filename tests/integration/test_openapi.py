"""/openapi.json is valid, exemplified, and true of the running API; /docs needs no internet."""

import asyncio
import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import jsonschema_rs
import pytest
import schemathesis
from starlette.requests import Request
from starlette.responses import Response

from api.app import Methods, Parts, routes
from api.http.bodies import Budget
from api.http.endpoint import allows
from api.http.openapi import document
from schemas.keys import Access
from schemas.settings import Settings
from tests.api_process import ApiProcess
from tests.connections import connect
from tests.keys import make_key
from tests.readings import meter, vehicle
from tests.workers import WorkerProcess, wait_until

SESSION = "0190f3a2-5b1c-7c3e-9d4f-2a6b8c0d1e2f"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
CASES_AN_OPERATION = 8
RUN_LIMIT_S = 300
"""Of a machine that is busy with other things; alone it takes about 40 s."""
REFERENCE = re.compile(r"^#/components/(\w+)/(\w+)$")


@pytest.fixture(scope="module")
def api(environment: dict[str, str]) -> Iterator[httpx.Client]:
    """An API that takes the examples' times, however long ago they are."""
    with ApiProcess({**environment, "MAX_READING_AGE_DAYS": "36500"}) as process:
        yield process.http


@pytest.fixture(scope="module")
def described(api: httpx.Client) -> dict[str, Any]:
    body: dict[str, Any] = api.get("/openapi.json").json()
    return body


@pytest.fixture(scope="module")
def filled(api: httpx.Client, environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """What the document's examples name is there: devices, readings, a session, a rejection."""
    assert api.post("/v1/devices/meters", json={"meterId": "MTR-001"}).status_code == 201
    assert api.post("/v1/devices/vehicles", json={"vehicleId": "VH-001"}).status_code == 201
    devices = {"meterId": "MTR-001", "vehicleId": "VH-001"}
    started = api.post("/v1/sessions/start", json=devices).json()["sessionId"]
    with connect(environment) as connection:
        connection.execute(
            "UPDATE charging_sessions SET session_id = %s WHERE session_id = %s", (SESSION, started)
        )
        connection.execute(
            "INSERT INTO alerts (alert_id, opened_at, code, stream, device_id, message)"
            " VALUES (%s, now(), 'silent_device', 'meter', 'MTR-001', 'No reading')",
            (SESSION,),
        )
        connection.execute(
            'INSERT INTO rejected_records (group_id, topic, partition, "offset", record_ms,'
            " reason, detail, raw) VALUES (%s, %s, 0, 0, 0, 'in_future', 'by then', %s)",
            (
                environment["KAFKA_GROUP_ID"],
                environment["KAFKA_METER_TOPIC"],
                json.dumps(meter("MTR-001")["payload"]).encode(),
            ),
        )
    for path in ("meters/MTR-001", "vehicles/VH-001"):
        exchange = api.post(f"/v1/devices/{path}/exchanges", json={"at": "2026-01-01T00:00:00Z"})
        gone = f"/v1/devices/{path}/exchanges/{exchange.json()['exchangeId']}"
        assert api.delete(gone).status_code == 204
    window = {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"}
    void = {"deviceId": "MTR-001", "streamType": "meter", "action": "void", "reason": "to try"}
    correction = api.post("/v1/corrections", json=void | window).headers["Location"]
    assert api.get(correction).status_code == 200
    assert api.delete(correction).status_code == 204
    key = make_key(environment, "operator")["key"]
    assert api.post("/v1/session", json={"key": key}).status_code == 201
    assert api.delete("/v1/session").status_code == 204
    batch = {"records": [meter("MTR-001"), vehicle("VH-001")]}
    assert api.post("/v1/telemetry/ingest/batch", json=batch).status_code == 202
    with WorkerProcess(environment):
        urls = [f"/v1/telemetry/{path}/history" for path in ("meters/MTR-001", "vehicles/VH-001")]
        wait_until(lambda: all(api.get(url).json() for url in urls), "both are stored")
        yield environment


def operations(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def resolved(described: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if match := REFERENCE.match(found.get("$ref", "")):
        kind, name = match.groups()
        target: dict[str, Any] = described["components"][kind][name]
        return target
    return found


def test_the_document_is_openapi_3_1(described: dict[str, Any]) -> None:
    assert described["openapi"] == "3.1.0"
    schemathesis.openapi.from_dict(described).validate()
    broken = copy.deepcopy(described)
    del broken["paths"]["/v1/telemetry/rejected/{id}"]["get"]["parameters"][0]["in"]
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_route_is_in_it(described: dict[str, Any]) -> None:
    async def table() -> set[tuple[str, str]]:
        served = routes(Parts(Settings()))
        return {(path, method) for path, methods in served.items() for method in methods}

    shown = {
        (path, method.upper()) for path, methods in described["paths"].items() for method in methods
    }
    assert shown == asyncio.run(table())
    ids = [operation["operationId"] for _, operation in operations(described)]
    assert len(set(ids)) == len(ids) and all(op["summary"] for _, op in operations(described))


@allows(Access.OPEN)
async def _silent(request: Request) -> Response:
    """Says nothing of what it answers."""
    raise NotImplementedError


def test_a_handler_that_says_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="GET /new"):
        document({"/new": {"GET": _silent}})


async def _for_nobody(request: Request) -> Response:
    """Does not say who may use it."""
    raise NotImplementedError


def test_a_handler_that_does_not_say_who_may_use_it_is_refused() -> None:
    with pytest.raises(ValueError, match="_for_nobody does not say who may use it"):
        document({"/new": {"GET": _for_nobody}})
    with pytest.raises(ValueError, match="_for_nobody does not say who may use it"):
        Methods("/new", {"GET": _for_nobody}, Budget(), cast(Any, None))


def test_who_may_use_each_route_is_in_it(described: dict[str, Any]) -> None:
    schemes = described["components"]["securitySchemes"]
    for name, operation in operations(described):
        needed = {scheme for way in operation["security"] for scheme in way}
        assert needed <= set(schemes), name
        assert bool(needed) == bool(operation.get("x-roles")), name
        assert not needed or {"401", "403", "429"} <= set(operation["responses"]), name
    of = {name: operation.get("x-roles") for name, operation in operations(described)}
    assert of["POST /v1/telemetry/ingest"] == ["gateway"]
    assert of["GET /v1/sessions"] == ["analyst", "operator"]
    assert of["POST /v1/sessions/start"] == ["operator"]
    assert of["GET /health/live"] is None
    assert described["paths"]["/metrics"]["get"]["security"] == [{"key": []}, {"signIn": []}]


def test_every_body_has_an_example_that_fits(described: dict[str, Any]) -> None:
    bodies = 0
    for name, operation in operations(described):
        request = operation.get("requestBody", {})
        answers = [resolved(described, answer) for answer in operation["responses"].values()]
        for body in (request, *answers):
            for media_type, content in body.get("content", {}).items():
                assert "example" in content, (name, media_type)
                schema = content["schema"] | {"components": described["components"]}
                jsonschema_rs.validate(schema, content["example"])
                bodies += 1
        for parameter in operation.get("parameters", ()):
            assert parameter["in"] != "path" or "example" in parameter, name
    assert bodies > 100


def test_every_error_is_in_it(described: dict[str, Any]) -> None:
    for name, operation in operations(described):
        statuses = set(operation["responses"])
        if "requestBody" in operation:
            assert {"400", "413", "415", "503"} <= statuses, name
        if name.startswith(("POST", "PATCH")):
            assert "413" in statuses, name
        if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
            assert {"400", "503"} <= statuses, name
        if any(parameter["in"] == "path" for parameter in operation.get("parameters", ())):
            assert {"404", "503"} <= statuses, name
        for status, answer in operation["responses"].items():
            if status >= "400" and name != "GET /health":
                content = resolved(described, answer)["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/ErrorBody"}
                assert content["example"]["statusCode"] == int(status)


def test_schemathesis_finds_nothing(
    api: httpx.Client, described: dict[str, Any], filled: dict[str, str], tmp_path: Path
) -> None:
    """And each operation has done its work at least once, not only refused to."""
    words = ["run", str(api.base_url.join("/openapi.json"))]
    words += ["--seed", "1", "--max-examples", str(CASES_AN_OPERATION)]
    words += ["--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS)]
    words += ["--generation-with-security-parameters", "false"]  # no key is demanded here
    words += ["--no-shrink", "--continue-on-failure", "--no-color"]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Test cases:\s+\d{4,} generated", done.stdout), done.stdout
    answered = re.findall(
        r'requests_total{method="(\w+)",route="([^"]*)",status="2.."} ', api.get("/metrics").text
    )
    worked = {f"{method} {path}" for method, path in answered}
    assert {name for name, _ in operations(described)} - worked == set()


def test_docs_work_offline(api: httpx.Client) -> None:
    page = api.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "://" not in page.text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for path in assets:
        asset = api.get(path)
        assert asset.status_code == 200 and len(asset.content) > 100
    assert api.get(assets[-1]).headers["Content-Type"].startswith("text/javascript")
    assert api.get("/docs/assets/nothing.js").json()["statusCode"] == 404
    assert api.post("/docs").status_code == 405
