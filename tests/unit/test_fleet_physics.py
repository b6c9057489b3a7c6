"""Charging looks like charging: power, efficiency, state of charge, temperature, sessions."""

from random import Random

import pytest

from devstack.fleet.depots import Depot, Session, Vehicle, build_depots
from devstack.fleet.options import FleetOptions
from devstack.fleet.physics import advance, charging_power_kw, voltage

STEP_US = 60_000_000
STEPS = 1440


@pytest.fixture
def depot() -> Depot:
    options = FleetOptions(meters=10, vehicles=14)
    (depot,) = build_depots(options, Random(3))
    return depot


def test_power_is_constant_and_then_tapers() -> None:
    assert charging_power_kw(50, 10) == charging_power_kw(50, 80) == 50
    tapered = [charging_power_kw(50, soc) for soc in range(80, 101)]
    assert tapered == sorted(tapered, reverse=True)
    assert tapered[-1] == pytest.approx(7.5)


def test_a_day_at_a_depot(depot: Depot) -> None:
    rng = Random(4)
    sessions: list[Session] = []
    for step in range(STEPS):
        before = {v.vehicle_id: v.soc for v in depot.vehicles}
        began, _ = advance(depot, step * STEP_US, (step + 1) * STEP_US, rng)
        sessions += began
        for vehicle in depot.vehicles:
            _look_at(vehicle, before[vehicle.vehicle_id])
        for meter in depot.meters:
            assert (meter.ac_kwh > 0) <= (meter.vehicle is not None)
            assert 200 < voltage(meter, 1 / 60, rng) < 250
    assert len(sessions) > len(depot.vehicles)
    _no_overlaps(sessions)


def _look_at(vehicle: Vehicle, soc_before: float) -> None:
    assert 0 <= vehicle.soc <= 100
    assert 5 < vehicle.battery_c < 60
    ac_kwh = vehicle.home.ac_kwh
    if vehicle.dc_kwh:
        assert vehicle.session is not None
        assert vehicle.soc > soc_before
        assert ac_kwh <= vehicle.home.capacity_kw / 60 + 1e-9
        low, high = (0.65, 0.85) if vehicle.home.faulty else (0.85, 0.99)
        assert low < vehicle.dc_kwh / ac_kwh < high
    else:
        assert vehicle.soc <= soc_before


def _no_overlaps(sessions: list[Session]) -> None:
    for key in ("meter_id", "vehicle_id"):
        last: dict[str, int | None] = {}
        for session in sorted(sessions, key=lambda session: session.start):
            device = getattr(session, key)
            if device in last:
                end = last[device]
                assert end is not None
                assert end <= session.start
            last[device] = session.end
