"""Smart meters: AC energy drawn."""

from schemas.streams.stream import Field, Stream

METER = Stream(
    name="meter",
    plural="meters",
    id_field="meterId",
    id_column="meter_id",
    id_example="MTR-001",
    fields=(
        Field(
            name="kwhConsumedAc",
            column="kwh_consumed_ac",
            type="float8",
            unit="kWh",
            minimum=0,
            example=150.5,
        ),
        Field(
            name="voltage",
            column="voltage",
            type="float4",
            unit="V",
            minimum=0,
            maximum=500,
            example=230.5,
            expendable=True,
        ),
    ),
    devices_table="meters",
)
