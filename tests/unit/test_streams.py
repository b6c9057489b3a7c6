"""A stream's description is enough to make rows of it, also when a value is optional."""

from dataclasses import replace

import pytest

from schemas.streams import METER, VEHICLE
from schemas.streams.stream import Field, Stream

CURRENT = Field(
    name="current",
    column="current",
    type="float4",
    unit="A",
    minimum=0,
    maximum=1000,
    example=16,
    required=False,
)


@pytest.fixture
def metered_current() -> Stream:
    """Meters that may also send the current."""
    return replace(METER, fields=(*METER.fields, CURRENT))


def test_a_row_has_its_values_in_the_order_of_its_columns() -> None:
    row = VEHICLE.row("VH-1", 17, soc=75.5, kwhDeliveredDc=45.2, batteryTemp=32.5)
    assert dict(zip(VEHICLE.row_columns, row, strict=True)) == {
        "vehicle_id": "VH-1",
        "timestamp": 17,
        "soc": 75.5,
        "kwh_delivered_dc": 45.2,
        "battery_temp": 32.5,
    }


def test_an_optional_value_may_be_left_out(metered_current: Stream) -> None:
    without = metered_current.row("M", 17, kwhConsumedAc=1.5, voltage=230.0)
    assert without == (1.5, 17, 230.0, None, "M")
    given = metered_current.row("M", 17, kwhConsumedAc=1.5, voltage=230.0, current=16.0)
    assert given == (1.5, 17, 230.0, 16.0, "M")


@pytest.mark.parametrize(
    "values", [{"kwhConsumedAc": 1.5}, {"kwhConsumedAc": 1.5, "voltage": 230.0, "power": 7.0}]
)
def test_missing_and_unknown_values_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="stream meter"):
        METER.row("M", 17, **values)
