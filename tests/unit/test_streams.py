"""A stream's description is enough to make rows of it, also where a value is optional."""

import pytest

from schemas.streams.stream import Field, Stream

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
            minimum=0,
            example=1450,
            required=False,
        ),
    ),
)


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
