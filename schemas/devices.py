"""Meters and vehicles as the HTTP API takes and gives them, and their newest readings."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from schemas.fields import (
    DEFAULT_PAGE,
    Amount,
    AmountAboveZero,
    DeviceId,
    Input,
    Metadata,
    Output,
    PageLimit,
    Query,
    Text,
    Time,
)
from schemas.streams import STREAMS
from schemas.streams.stream import TIMESTAMP, Stream

MAX_VIN_CHARACTERS = 17
LONGEST_REPORT_SECONDS = 86_400

EnergyMode = Literal["interval", "register"]
ReportSeconds = Annotated[int, Field(ge=1, le=LONGEST_REPORT_SECONDS)]
Vin = Annotated[Text, Field(min_length=1, max_length=MAX_VIN_CHARACTERS)]


class DevicePage(Query):
    """A page of a list: at most `limit` devices, whose ids come after `after`."""

    limit: PageLimit = DEFAULT_PAGE
    after: Text = ""
    search: Text = ""
    """A part of the id, the location, the VIN or the model, in upper or lower case."""
    is_active: bool | None = None

    @property
    def pattern(self) -> str:
        """What LIKE finds `search` with, wherever it stands; its own signs mean themselves."""
        escaped = re.sub(r"([\\%_])", r"\\\1", self.search)
        return f"%{escaped}%"


class _DeviceChange(Input):
    """The fields that every kind of device has, as they may be changed."""

    metadata: Metadata = Field(default_factory=dict)
    is_active: bool = True
    energy_reading: EnergyMode | None = None
    """Null means the deployment's ENERGY_READING."""
    report_seconds: ReportSeconds | None = None
    """Seconds between two readings; null means the deployment's REPORT_SECONDS."""
    register_tolerance: Amount | None = None
    """By how many kWh the register may dip without having begun anew; null means 0.2."""
    register_modulus: AmountAboveZero | None = None
    """Where the register begins again at 0, in kWh; null: not known to."""


class MeterChange(_DeviceChange):
    """The fields of a meter that may be changed; only those given are."""

    location: Text | None = None
    capacity_kw: Amount | None = None
    installed_at: Time | None = None


class NewMeter(MeterChange):
    """A meter to register."""

    meter_id: DeviceId


class VehicleChange(_DeviceChange):
    """The fields of a vehicle that may be changed; only those given are."""

    vin: Vin | None = None
    battery_capacity_kwh: Amount | None = None
    model: Text | None = None
    max_charge_kw: AmountAboveZero | None = None
    """The most it can be charged with; null: not known."""


class NewVehicle(VehicleChange):
    """A vehicle to register."""

    vehicle_id: DeviceId


class _Registered(Output):
    """The fields that every registered device has. Those of a later base class come before them."""

    metadata: dict[str, Any]
    is_active: bool
    energy_reading: EnergyMode | None
    report_seconds: int | None
    register_tolerance: float | None
    register_modulus: float | None
    created_at: datetime
    updated_at: datetime


class _MeterFields(Output):
    meter_id: str
    location: str | None
    capacity_kw: float | None
    installed_at: datetime | None


class Meter(_Registered, _MeterFields):
    """A registered meter; powers in kW, what its register shows in kWh."""


class _VehicleFields(Output):
    vehicle_id: str
    vin: str | None
    battery_capacity_kwh: float | None
    model: str | None
    max_charge_kw: float | None


class Vehicle(_Registered, _VehicleFields):
    """A registered vehicle; powers in kW, energies in kWh."""


def _state(stream: Stream) -> type[Output]:
    """The model of a device's newest reading, and when it was stored."""
    fields: dict[str, Any] = {stream.id_column: (str, Field(alias=stream.id_field))}
    for field in stream.fields:
        kind: Any = float | None if field.nullable else float
        default = ... if field.required else None
        fields[field.column] = (kind, Field(default, alias=field.name, examples=[field.example]))
    fields |= {TIMESTAMP: (datetime, ...), "updated_at": (datetime, ...)}
    word = stream.name.capitalize()
    return create_model(
        f"{word}State",
        __base__=Output,
        __module__=__name__,
        __doc__=f"A {stream.name}'s newest reading, and when it was stored.",
        **fields,
    )


STATES = {name: _state(stream) for name, stream in STREAMS.items()}
"""By stream: the model of a device's newest reading, where what may be missing is null."""
