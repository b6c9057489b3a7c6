"""How energy flows in a depot, step by step.

A step covers (its start, its end]. A vehicle is plugged in at a step's start and unplugged at the
end of the first step in which no more energy flowed, so that every reading with energy lies inside
its session.
"""

import math
from random import Random

from devstack.fleet.depots import Depot, Meter, Session, Vehicle

EFFICIENCY_NOISE = 0.01
HIGHEST_EFFICIENCY = 0.985
TAPER_FROM_SOC_PERCENT = 80.0
SHARE_OF_POWER_WHEN_FULL = 0.15
TEMPERATURE_SETTLES_IN_S = 1800.0
WARMING_C_PER_KW = 0.28
MAINS_V = 230.0
SAG_AT_FULL_LOAD_V = 3.0


def charging_power_kw(charger_kw: float, soc: float) -> float:
    """AC power at a state of charge in percent: constant up to 80 %, then falling linearly."""
    above = max(0.0, soc - TAPER_FROM_SOC_PERCENT) / (100.0 - TAPER_FROM_SOC_PERCENT)
    return charger_kw * (1.0 - (1.0 - SHARE_OF_POWER_WHEN_FULL) * above)


def advance(depot: Depot, start: int, end: int, rng: Random) -> tuple[list[Session], list[Session]]:
    """Let one step pass; return the sessions that began in it and those that ended in it."""
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
        vehicle.plan_next_trip(rng)
    return began, [_unplug(vehicle, end) for vehicle in leaving]


def voltage(meter: Meter, hours: float, rng: Random) -> float:
    """The mains voltage in V, with a little noise; it is lower under load."""
    load = meter.ac_kwh / (meter.capacity_kw * hours)
    return MAINS_V - SAG_AT_FULL_LOAD_V * load + rng.gauss(0, 1.2)


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
    """Charge the vehicle for so many hours; return the AC power in kW."""
    meter = vehicle.home
    power_kw = charging_power_kw(meter.capacity_kw, vehicle.soc)
    efficiency = min(HIGHEST_EFFICIENCY, rng.gauss(meter.efficiency, EFFICIENCY_NOISE))
    meter.ac_kwh = power_kw * hours
    vehicle.dc_kwh = meter.ac_kwh * efficiency
    vehicle.soc = min(100.0, vehicle.soc + 100.0 * vehicle.dc_kwh / vehicle.capacity_kwh)
    return power_kw
