"""Devices that have stopped reporting, as the HTTP API gives them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from schemas.fields import Output, Query
from schemas.telemetry import StreamType

DEFAULT_SILENCE_MINUTES = 5
LONGEST_SILENCE_MINUTES = 60 * 24 * 31
DEFAULT_SILENT_SHOWN = 100
MAX_SILENT_SHOWN = 1_000


class SilenceQuery(Query):
    """Devices without a reading for `minutes`; the answer names at most `limit` of them.

    `retired` true: instead those that are registered as inactive, silent or not.
    """

    minutes: Annotated[int, Field(ge=1, le=LONGEST_SILENCE_MINUTES)] = DEFAULT_SILENCE_MINUTES
    limit: Annotated[int, Field(ge=0, le=MAX_SILENT_SHOWN)] = DEFAULT_SILENT_SHOWN
    retired: bool = False


class SilentDevice(Output):
    """A device and the time of its newest reading; null when there never was one."""

    stream: StreamType
    device_id: str
    last_reading: datetime | None
    registered: bool
    """Only a registered device can be retired: by `isActive` false."""


class Silence(Output):
    """Who has had no reading since `since`: how many of each kind, and who fell silent last.

    Known are devices that reported once or are registered, except those registered as inactive.
    """

    since: datetime
    meters: int
    vehicles: int
    known_meters: int
    """How many there are, silent or not."""
    known_vehicles: int
    devices: list[SilentDevice]
