"""Depots, their chargers and their vehicles: how energy flows, step by step.

All times are whole microseconds since 2000-01-01 UTC, as in decoded readings; energies are kWh.
A step covers (its start, its end]. A vehicle is plugged in at a step's start and unplugged at the
end of the first step in which no more energy flowed, so that every reading with energy lies inside
its session.
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
EFFICIENCY_NOISE = 0.01
HIGHEST_EFFICIENCY = 0.985
TAPER_FROM_SOC_PERCENT = 80.0
SHARE_OF_POWER_WHEN_FULL = 0.15
TEMPERATURE_SETTLES_IN_S = 1800.0
WARMING_C_PER_KW = 0.28
MAINS_V = 230.0
SAG_AT_FULL_LOAD_V = 3.0


@dataclass(eq=False, slots=True)
class Session:
    """A vehicle at a charger; `end` is None while it is plugged in."""

    depot: int
    meter_id: str
    vehicle_id: str
    start: int
    end: int | None = None
    refused: bool = False
    """The API did not take it, so no figure of the API's can include it."""


@dataclass(eq=False, slots=True)
class Meter:
    """A charger and the meter before it."""

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


@dataclass(eq=False, slots=True)
class Depot:
    """A place with one gateway."""

    number: int
    meters: list[Meter] = field(default_factory=list)
    vehicles: list[Vehicle] = field(default_factory=list)


def build_depots(options: FleetOptions, rng: Random) -> list[Depot]:
    """The depots in their first moment: some vehicles empty, some full, none plugged in."""
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
        _plan_next_trip(vehicle, rng)
        depot.vehicles.append(vehicle)
    return depots


def charging_power_kw(charger_kw: float, soc: float) -> float:
    """AC power at a state of charge: constant, then falling in a straight line to the full one."""
    above = max(0.0, soc - TAPER_FROM_SOC_PERCENT) / (100.0 - TAPER_FROM_SOC_PERCENT)
    return charger_kw * (1.0 - (1.0 - SHARE_OF_POWER_WHEN_FULL) * above)


def advance(depot: Depot, start: int, end: int, rng: Random) -> tuple[list[Session], list[Session]]:
    """Let one step pass; returns the sessions that began and those that ended in it."""
    began: list[Session] = []
    leaving: list[Vehicle] = []
    hours = (end - start) / 3.6e9
    settled = 1.0 - math.exp(-hours * 3600 / TEMPERATURE_SETTLES_IN_S)
    for meter in depot.meters:
        meter.ac_kwh = 0.0
    for vehicle in depot.vehicles:
        vehicle.dc_kwh = 0.0
        wants_to = vehicle.session is None and vehicle.soc <= vehicle.plug_in_at_soc
        if wants_to and vehicle.home.vehicle is None:
            began.append(_plug_in(vehicle, depot.number, start))
        power_kw = 0.0
        if vehicle.session is None:
            _drive(vehicle, hours)
        elif vehicle.soc < vehicle.leave_at_soc:
            power_kw = _charge(vehicle, hours, rng)
        else:
            leaving.append(vehicle)
        goal_c = vehicle.ambient_c + 3.0 + WARMING_C_PER_KW * power_kw
        vehicle.battery_c += (goal_c - vehicle.battery_c) * settled + rng.gauss(0, 0.05)
    for vehicle in leaving:
        _plan_next_trip(vehicle, rng)
    return began, [_unplug(vehicle, end) for vehicle in leaving]


def voltage(meter: Meter, hours: float, rng: Random) -> float:
    """The mains with a little noise, lower under load."""
    load = meter.ac_kwh / (meter.capacity_kw * hours)
    return MAINS_V - SAG_AT_FULL_LOAD_V * load + rng.gauss(0, 1.2)


def _plan_next_trip(vehicle: Vehicle, rng: Random) -> None:
    vehicle.plug_in_at_soc = rng.uniform(12, 45)
    vehicle.leave_at_soc = rng.uniform(82, 98)
    vehicle.driving_percent_an_hour = rng.uniform(6, 22)


def _plug_in(vehicle: Vehicle, depot: int, at: int) -> Session:
    vehicle.session = Session(depot, vehicle.home.meter_id, vehicle.vehicle_id, at)
    vehicle.home.vehicle = vehicle
    return vehicle.session


def _unplug(vehicle: Vehicle, at: int) -> Session:
    session = vehicle.session
    assert session is not None
    session.end = at
    vehicle.session = vehicle.home.vehicle = None
    return session


def _drive(vehicle: Vehicle, hours: float) -> None:
    vehicle.soc = max(5.0, vehicle.soc - vehicle.driving_percent_an_hour * hours)


def _charge(vehicle: Vehicle, hours: float, rng: Random) -> float:
    """Return the AC power in kW."""
    meter = vehicle.home
    power_kw = charging_power_kw(meter.capacity_kw, vehicle.soc)
    efficiency = min(HIGHEST_EFFICIENCY, rng.gauss(meter.efficiency, EFFICIENCY_NOISE))
    meter.ac_kwh = power_kw * hours
    vehicle.dc_kwh = meter.ac_kwh * efficiency
    vehicle.soc = min(100.0, vehicle.soc + 100.0 * vehicle.dc_kwh / vehicle.capacity_kwh)
    return power_kw
