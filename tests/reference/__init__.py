"""What the figures mean, in plain Python over lists: slow, obvious, and nothing of the product's.

`devices` holds what was read, `increments` says what each reading stands for, `shares` to which
session that belongs and when it counts, `covered` how much of a time readings speak for, and
`figures` and `meters` sum it up as the HTTP API does. Energies are Fractions of kWh: all is exact.
"""

from tests.reference.devices import Device, Exchange, Reading, ReferenceFleet, Session
from tests.reference.figures import (
    figures,
    hour_of,
    of_all,
    performance,
    session,
    together,
    vehicles,
)
from tests.reference.increments import Kind, increments
from tests.reference.meters import meter
from tests.reference.shares import Share, shares_of_meter, shares_of_vehicle
from tests.reference.sums import Figures, Side

__all__ = [
    "Device",
    "Exchange",
    "Figures",
    "Kind",
    "Reading",
    "ReferenceFleet",
    "Session",
    "Share",
    "Side",
    "figures",
    "hour_of",
    "increments",
    "meter",
    "of_all",
    "performance",
    "session",
    "shares_of_meter",
    "shares_of_vehicle",
    "together",
    "vehicles",
]
