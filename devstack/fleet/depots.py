"""What a fleet consists of: depots with their chargers, meters, vehicles and charging sessions.

Times are whole microseconds since 2000-01-01 UTC, as in decoded readings; energies are kWh.
"""

import math
from dataclasses import dataclass, field
from random import Random

from devstack.fleet.options import METERS_A_DEPOT, FleetOptions

CHARGER_KW = (22.0, 22.0, 50.0, 75.0)
BATTERY_KWH = (42.0, 58.0, 64.0, 77.0, 93.0)
MODELS = ("Kestrel 42", "Heron 58", "Heron 64", "Osprey 77", "Albatross 93")
GOOD_EFFICIENCY = (0.905, 0.935)
FAULTY_EFFICIENCY = (0.70, 0.80)
FAULTY_SHARE = 0.08


@dataclass(eq=False, slots=True)
class Session:
    """A charging session: a vehicle at a charger; `end` is None while it is plugged in."""

    depot: int
    meter_id: str
    vehicle_id: str
    start: int
    end: int | None = None
    refused: bool = False
    """Whether the API refused it, so that no figure of the API includes it."""


@dataclass(eq=False, slots=True)
class Meter:
    """A charger and its meter, on the AC side."""

    meter_id: str
    capacity_kw: float
    efficiency: float
    faulty: bool
    delay: float
    """The share of a step by which its readings come before the step's end."""
    vehicle: "Vehicle | None" = None
    ac_kwh: float = 0.0


@dataclass(eq=False, slots=True)
class Vehicle:
    """A vehicle, which always charges at its home charger."""

    vehicle_id: str
    model: str
    capacity_kwh: float
    home: Meter
    soc: float
    battery_c: float
    ambient_c: float
    delay: float
    plug_in_at_soc: float = 0.0
    leave_at_soc: float = 0.0
    driving_percent_an_hour: float = 0.0
    session: Session | None = None
    dc_kwh: float = 0.0

    def plan_next_trip(self, rng: Random) -> None:
        """Draw when it will plug in and leave again, and how much it drives in between."""
        self.plug_in_at_soc = rng.uniform(12, 45)
        self.leave_at_soc = rng.uniform(82, 98)
        self.driving_percent_an_hour = rng.uniform(6, 22)


@dataclass(eq=False, slots=True)
class Depot:
    """A place with chargers, the vehicles that live there, and one gateway."""

    number: int
    meters: list[Meter] = field(default_factory=list)
    vehicles: list[Vehicle] = field(default_factory=list)


def build_depots(options: FleetOptions, rng: Random) -> list[Depot]:
    """The depots at the start: vehicles are charged more or less, none is plugged in."""
    count = math.ceil(options.meters / METERS_A_DEPOT)
    depots = [Depot(number) for number in range(count)]
    faulty = set(rng.sample(range(options.meters), math.ceil(options.meters * FAULTY_SHARE)))
    for number in range(options.meters):
        meter = Meter(
            f"{options.prefix}MTR-{number + 1:03}",
            rng.choice(CHARGER_KW),
            rng.uniform(*(FAULTY_EFFICIENCY if number in faulty else GOOD_EFFICIENCY)),
            number in faulty,
            rng.uniform(0, 0.9),
        )
        depots[number % count].meters.append(meter)
    for number in range(options.vehicles):
        depot = depots[number % count]
        kind = rng.randrange(len(MODELS))
        ambient_c = rng.uniform(12, 24)
        vehicle = Vehicle(
            f"{options.prefix}VH-{number + 1:03}",
            MODELS[kind],
            BATTERY_KWH[kind],
            depot.meters[number // count % len(depot.meters)],
            rng.uniform(10, 90),
            ambient_c + rng.uniform(0, 4),
            ambient_c,
            rng.uniform(0, 0.9),
        )
        vehicle.plan_next_trip(rng)
        depot.vehicles.append(vehicle)
    return depots
