"""Electric vehicles: DC energy delivered, state of charge, battery temperature."""

from schemas.streams.stream import Field, Stream

VEHICLE = Stream(
    name="vehicle",
    plural="vehicles",
    id_field="vehicleId",
    id_column="vehicle_id",
    id_example="VH-001",
    fields=(
        Field(
            name="soc",
            column="soc",
            type="float4",
            unit="%",
            minimum=0,
            maximum=100,
            example=75.5,
            expendable=True,
        ),
        Field(
            name="kwhDeliveredDc",
            column="kwh_delivered_dc",
            type="float8",
            unit="kWh",
            minimum=0,
            example=45.2,
        ),
        Field(
            name="batteryTemp",
            column="battery_temp",
            type="float4",
            unit="C",
            minimum=-50,
            maximum=100,
            example=32.5,
            expendable=True,
        ),
    ),
    devices_table="vehicles",
)
