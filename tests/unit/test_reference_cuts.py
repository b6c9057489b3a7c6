"""Whatever way time is cut into windows, the parts of the reference's figures add up."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given, settings

from tests import fleets, reference
from tests.fleets import LAST, START
from tests.reference import Figures, ReferenceFleet

WHOLE = (START - timedelta(days=40), LAST + timedelta(days=1))
NOT_ADDING_UP = {"sessions", "rejected", "corrected"}
"""A session that several windows see is in each of them; a meter's rejected and corrected readings
are in those that see a session on it."""


@settings(fleets.UNSHRUNK, max_examples=30)
@given(fleet=fleets.fleets(), cuts=fleets.cuts)
def test_windows_side_by_side_add_up(fleet: ReferenceFleet, cuts: list[datetime]) -> None:
    ends = sorted({WHOLE[0], *cuts, WHOLE[1]})
    for vehicle in fleet.vehicles:
        whole = reference.figures(fleet, vehicle, *WHOLE)
        parts = [reference.figures(fleet, vehicle, *part) for part in pairwise(ends)]
        together = reference.together(parts)
        for name in vars(Figures()).keys() - NOT_ADDING_UP:
            assert without_counts(getattr(together, name)) == without_counts(getattr(whole, name))


def without_counts(value: Any) -> Any:
    """A reading with shares in two windows is one of the readings of each."""
    return vars(value) | {"readings": 0} if isinstance(value, reference.Side) else value


@settings(fleets.UNSHRUNK, max_examples=30)
@given(fleet=fleets.fleets())
def test_no_energy_is_lost_or_made(fleet: ReferenceFleet) -> None:
    """A meter's is that of its sessions and the rest; a session's is that of its own window."""
    for name in fleet.meters:
        shares = reference.shares_of_meter(fleet, name)
        found = reference.meter(fleet, name, *WHOLE)["metrics"]
        assert found["totalEnergyConsumedAc"] == sum(share.energy for share in shares)
        for session in fleet.of_meter(name):
            if session.end and session.has_length:
                whole = sum(s.energy for s in shares if s.session == session)
                own = reference.meter(fleet, name, session.start, session.end)["sessions"]
                assert whole in [one["energyAc"] for one in own if one["endedAt"] == session.end]


@settings(fleets.UNSHRUNK, max_examples=20)
@given(fleet=fleets.fleets(), window=fleets.windows)
def test_hours_add_up(fleet: ReferenceFleet, window: tuple[datetime, datetime]) -> None:
    for vehicle in fleet.vehicles:
        found = reference.performance(fleet, vehicle, *window)
        for total, part in (
            ("totalEnergyConsumedAc", "energyAc"),
            ("totalEnergyDeliveredDc", "energyDc"),
        ):
            assert found["metrics"][total] == sum(h[part] for h in found["hourlyBreakdown"])
