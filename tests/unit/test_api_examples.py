"""Answers that need neither PostgreSQL nor Kafka, and examples that follow from the streams."""

import asyncio
from http import HTTPStatus
from typing import Any

import httpx
import msgspec
import pytest

from api.app import Parts, create_app, routes
from api.http.examples import error_example
from api.http.openapi import document
from schemas.devices import STATES
from schemas.settings import Settings
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.stream import Stream


def described() -> dict[str, Any]:
    async def describe() -> dict[str, Any]:
        return document(routes(Parts(Settings())))

    return asyncio.run(describe())


def test_the_limits_of_the_analytics_are_served_without_services() -> None:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app(Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.get("/v1/analytics/limits")

    answer = asyncio.run(ask())
    assert answer.status_code == 200
    assert answer.json() == {
        "lowEfficiency": 0.85,
        "impossibleEfficiency": 1.0,
        "completeShare": 0.95,
        "estimatedShare": 0.05,
        "longestWindowDays": 31,
        "longestGroupedWindowDays": 400,
    }


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
def test_a_streams_examples_are_its_own(stream: Stream) -> None:
    paths = described()["paths"]
    history = paths[f"/v1/telemetry/{stream.plural}/{{id}}/history"]["get"]
    assert history["parameters"][0]["example"] == stream.id_example
    shown = {media: c["example"] for media, c in history["responses"]["200"]["content"].items()}
    assert shown["text/csv"].splitlines()[0].split(",") == list(stream.json_names)
    (reading,) = shown["application/json"]
    assert reading[stream.id_field] == stream.id_example
    values = {field.name: field.example for field in stream.fields}
    assert reading.items() >= values.items()
    msgspec.convert(reading, stream.reading)
    state = paths[f"/v1/devices/{stream.plural}/{{id}}/state"]["get"]
    shown = state["responses"]["200"]["content"]["application/json"]["example"]
    assert shown.items() >= values.items()
    STATES[stream.name].model_validate(shown)


def test_vehicles_have_the_example_of_vehicles() -> None:
    operation = described()["paths"]["/v1/analytics/performance/{id}"]["get"]
    assert operation["parameters"][0]["example"] == VEHICLE.id_example != METER.id_example


def test_the_example_of_bad_input_names_a_field_of_a_reading() -> None:
    (problem,) = error_example(HTTPStatus.BAD_REQUEST)["details"]
    assert problem["field"] in {f"payload.{field.name}" for field in METER.fields}
