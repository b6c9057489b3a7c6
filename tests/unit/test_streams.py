"""A stream's description is enough: for its rows, for a fleet that sends it, for the benchmarks."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from bench.readings import BenchReadings, as_copy_line, as_json, draw
from devstack.fleet.faults import Faults
from devstack.fleet.gateway import STORED, Sent, text_of
from devstack.fleet.truth import Truth
from schemas.streams.decoder import Decoder
from schemas.streams.stream import Field, Row, Stream
from schemas.streams.times import clock_limits, to_micros

PUMP = Stream(
    name="pump",
    plural="pumps",
    id_field="pumpId",
    id_column="pump_id",
    id_example="P-1",
    fields=(
        Field(
            name="pressure", column="pressure", type="float4", unit="bar", minimum=0, example=2.5
        ),
        Field(name="flow", column="flow", type="float8", unit="m3/h", minimum=0, example=12.5),
        Field(
            name="speed",
            column="speed",
            type="float4",
            unit="rpm",
            minimum=-2000,
            maximum=2000,
            example=1450,
            required=False,
        ),
    ),
)
START = datetime(2026, 1, 31, tzinfo=UTC)
TIME = to_micros(START)
LIMITS = clock_limits(
    START + timedelta(days=1), max_age_days=30, retention_days=0, max_skew_seconds=0
)


def decoded(value: bytes | None) -> list[Row]:
    rows, _, rejections = Decoder(PUMP).decode(value, LIMITS)
    assert not rejections
    return rows


def test_a_row_has_its_values_in_the_order_of_its_columns() -> None:
    row = PUMP.row("P-1", 17, pressure=2.5, flow=12.5, speed=1450.0)
    assert dict(zip(PUMP.row_columns, row, strict=True)) == {
        "pump_id": "P-1",
        "timestamp": 17,
        "pressure": 2.5,
        "flow": 12.5,
        "speed": 1450.0,
    }


def test_an_optional_value_may_be_left_out() -> None:
    assert PUMP.row("P-1", 17, pressure=2.5, flow=12.5) == (12.5, 17, 2.5, None, "P-1")


@pytest.mark.parametrize(
    "values", [{"pressure": 2.5}, {"pressure": 2.5, "flow": 12.5, "power": 7.0}]
)
def test_missing_and_unknown_values_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="stream pump"):
        PUMP.row("P-1", 17, **values)


@pytest.mark.parametrize("optional", [{}, {"speed": 1450.0}])
def test_a_fleet_sends_and_remembers_what_a_row_holds(optional: dict[str, float]) -> None:
    row = PUMP.row("P-1", TIME, pressure=2.5, flow=12.5, **optional)
    text = text_of(PUMP, row)
    assert (b'"speed"' in text) == bool(optional)
    assert decoded(text) == [row]
    truth = Truth(outcomes={"pump": Counter()}, _series={"pump": {}})
    truth.note(Sent(PUMP, 0, "P-1", text, STORED, row))
    assert list(truth.stored(PUMP)) == [row]


def test_garbage_is_never_a_valid_reading() -> None:
    row = PUMP.row("P-1", TIME, pressure=2.5, flow=12.5)
    for seed in range(300):
        faults = Faults(frozenset({"garbage"}), seed, {"pump": 1})
        sent = [one for _ in range(200) for _, one in faults.send(PUMP, 0, row)]
        for one in sent:
            rows, _, rejections = Decoder(PUMP).decode(one.text, LIMITS)
            assert [rejection.reason for rejection in rejections] == (
                [] if one.outcome == STORED else [one.outcome]
            ), one.text
            assert rows == ([row] if one.outcome == STORED else [])


def test_a_benchmark_sends_the_same_reading_to_kafka_and_to_copy() -> None:
    fields = BenchReadings(PUMP, devices=10, start=START).minute(7)
    for device in range(10):
        (row,) = decoded(as_json(PUMP)(fields(device)).encode())
        flow, _, *others, device_id = as_copy_line(fields(device)).rstrip("\n").split("\t")
        assert row[0] == float(flow)
        assert row[2:] == (*map(float, others), device_id)


@pytest.mark.parametrize(
    ("minimum", "maximum"), [(0, 1000), (-50, 0), (5, None), (0.04, 0.06), (-2, -1)]
)
def test_a_benchmarks_value_lies_within_the_limits(minimum: float, maximum: float | None) -> None:
    field = Field(
        name="unknown",
        column="unknown",
        type="float4",
        unit="",
        minimum=minimum,
        maximum=maximum,
        example=minimum,
    )
    rng = Random(1)
    for _ in range(200):
        value = float(draw(field, rng))
        assert minimum <= value
        assert maximum is None or value <= maximum
