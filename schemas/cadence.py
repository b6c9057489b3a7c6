"""How often devices report, as they are asked to take it over, and what became of each."""

from typing import Annotated

from pydantic import Field

from schemas.fields import DeviceId, Input, Output
from schemas.telemetry import StreamType

MAX_ADOPTING = 1_000
"""Devices in one request."""


class CadenceAdoption(Input):
    """Devices that are to have the pace they were seen at; of both kinds, unless one is given."""

    device_ids: Annotated[list[DeviceId], Field(min_length=1, max_length=MAX_ADOPTING)]
    stream_type: StreamType | None = None


class AdoptedCadence(Output):
    """What became of one device."""

    device_id: str
    stream_type: StreamType | None
    """Null when no device of that id is registered."""
    report_seconds: int | None
    """What it is set to now; null when it was left as it was."""
    previous: Annotated[int | None, Field(examples=[300])]
    """What it was set to before."""
    observed_seconds: Annotated[float | None, Field(examples=[60.4])]
    """The median of the gaps between its latest readings; null when there are too few."""
    message: Annotated[str | None, Field(examples=[None])]
    """Why it was left as it was."""


class CadenceAdoptions(Output):
    """What became of each device, in the order in which they were named."""

    message: Annotated[
        str, Field(examples=["1 device has another pace now: its past changes, too"])
    ]
    devices: list[AdoptedCadence]
