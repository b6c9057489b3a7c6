"""What the figures mean, in plain Python over lists: slow, obvious, and nothing of the product's.

`devices` holds what was read, `corrections` what people make of that, `edges` what sessions say of
a register beside it. `increments` says what each reading stands for, `shares` to which session that
belongs and when it counts, `covered` how much of a time readings speak for, and `figures`,
`of_fleets`, `chargers` and `meters` sum it up as the HTTP API does, in exact Fractions of kWh.
"""

from tests.reference.chargers import elsewhere, of_charger, on_charger
from tests.reference.corrections import Correction, Reading
from tests.reference.devices import Device, Exchange, ReferenceFleet, Session
from tests.reference.edges import edges_of_meter
from tests.reference.figures import figures, hour_of, performance, session
from tests.reference.increments import Kind, increments
from tests.reference.meters import meter
from tests.reference.of_fleets import of_all, only_bad, together, vehicles
from tests.reference.shares import Share, shares_of_meter, shares_of_vehicle
from tests.reference.sums import Figures, Side

__all__ = [
    "Correction",
    "Device",
    "Exchange",
    "Figures",
    "Kind",
    "Reading",
    "ReferenceFleet",
    "Session",
    "Share",
    "Side",
    "edges_of_meter",
    "elsewhere",
    "figures",
    "hour_of",
    "increments",
    "meter",
    "of_all",
    "of_charger",
    "on_charger",
    "only_bad",
    "performance",
    "session",
    "shares_of_meter",
    "shares_of_vehicle",
    "together",
    "vehicles",
]
