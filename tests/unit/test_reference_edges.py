"""What sessions say of their meter's register, computed by hand: one test a rule."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests import reference
from tests.real_meters import START, after, readings, steady
from tests.reference import Device, ReferenceFleet, Session, edges_of_meter, shares_of_meter

DAYS = 24 * 60.0
Seen = tuple[float, str]
Said = tuple[float, float | None, str | None, str | None]
"""Start and end in minutes, meterStart, meterStop."""


def fleet_of(*seen: Seen, sessions: list[Said], **more: Any) -> ReferenceFleet:
    """One register, and sessions A, B, C... on it."""
    fleet = ReferenceFleet({"M": Device(True, readings(*seen), **more)})
    for name, (start, end, *said) in zip("ABC", sessions, strict=False):
        shown = [None if value is None else Decimal(value) for value in said]
        until = None if end is None else after(end)
        fleet.sessions.append(Session("M", name, after(start), until, *shown))
        fleet.vehicles[name] = Device(False)
    return fleet


def edges(fleet: ReferenceFleet) -> list[tuple[float, str]]:
    """(minutes, kWh) of those that count."""
    found = sorted(edges_of_meter(fleet, "M"))
    return [((edge.time - START).total_seconds() / 60, str(edge.kwh)) for edge in found]


def energies(fleet: ReferenceFleet) -> dict[str, float]:
    """By session, and - for none."""
    found: dict[str, float] = {}
    for share in shares_of_meter(fleet, "M"):
        if share.energy:
            name = share.session.vehicle if share.session else "-"
            found[name] = found.get(name, 0) + float(share.energy)
    return found


@pytest.mark.parametrize("paced", [{}, {"pace_s": 60}])
def test_a_meter_that_sends_nothing_is_known_by_its_sessions(paced: dict[str, Any]) -> None:
    fleet = fleet_of(sessions=[(0, 60, "5", "11"), (60, 90, "11", "12.5")], **paced)
    assert energies(fleet) == {"A": 6, "B": 1.5}


def test_what_was_drawn_before_the_start_is_not_the_sessions() -> None:
    fleet = fleet_of((-30, "3"), (30, "9"), sessions=[(0, 60, "5", "11")])
    assert energies(fleet) == {"-": 2, "A": 6}
    fleet.meters["M"].pace_s = 3600
    assert energies(fleet) == {"-": 2, "A": 6}


def test_what_the_next_reading_says_after_the_stop_is_not_the_sessions() -> None:
    fleet = fleet_of((30, "9"), (61, "12"), sessions=[(0, 60, "5", "11")], pace_s=1800)
    assert energies(fleet) == {"A": 6, "-": 1}


def test_where_it_was_read_at_that_instant_the_reading_counts() -> None:
    fleet = fleet_of((0, "4"), (60, "12"), sessions=[(0, 60, "5", "11")])
    assert edges(fleet) == []


@pytest.mark.parametrize(
    ("seen", "left"),
    [
        ([(-1, "5.1"), (61, "11")], [(60, "11")]),
        ([(-1, "5"), (61, "10.9")], [(0, "5")]),
        ([(1, "4.9")], [(60, "11")]),
        ([(59, "11.1")], [(0, "5")]),
        ([(-31 * DAYS, "5.1")], [(60, "11")]),
        ([(-31 * DAYS - 0.001, "5.1")], [(0, "5"), (60, "11")]),
        ([(60 + 31 * DAYS, "10.9")], [(0, "5")]),
        ([(60 + 31 * DAYS + 0.001, "10.9")], [(0, "5"), (60, "11")]),
    ],
)
def test_one_that_would_go_down_against_readings_is_ignored(
    seen: list[Seen], left: list[Seen]
) -> None:
    assert edges(fleet_of(*seen, sessions=[(0, 60, "5", "11")])) == left


def test_they_are_not_compared_with_each_other() -> None:
    fleet = fleet_of(sessions=[(0, 60, "900", "905"), (70, 90, "3", "4.5")])
    assert len(edges(fleet)) == 4
    assert energies(fleet) == {"A": 5, "B": 1.5, "-": 3}


def test_at_one_instant_the_stop_stays_if_it_counts() -> None:
    fleet = fleet_of(sessions=[(0, 60, "5", "11"), (60, 90, "11.4", "12.5")])
    assert edges(fleet)[1] == (60, "11")
    fleet.meters["M"].readings = readings((30, "11.2"))
    assert edges(fleet)[1] == (60, "11.4")


def test_an_interval_meter_has_none() -> None:
    fleet = fleet_of(sessions=[(0, 60, "5", "11")])
    fleet.meters["M"].register = False
    assert edges(fleet) == []


def test_an_active_session_has_not_ended() -> None:
    assert edges(fleet_of(sessions=[(0, None, "5", "11")])) == [(0, "5")]


def test_they_are_no_readings() -> None:
    fleet = fleet_of((20, "8"), (21, "8.1"), sessions=[(0, 60, "5", "11")])
    fleet.vehicles["A"] = steady("0.09", 60)
    found = reference.performance(fleet, "A", START, after(90))
    coverage = found["coverage"]
    assert found["metrics"]["totalEnergyConsumedAc"] == 6
    assert (coverage["acReadings"], coverage["acSecondsCovered"]) == (2, 3 * 60)
    assert coverage["observedSeconds"]["ac"] == 60
    assert coverage["quality"] == "partial"
    of_meter = reference.meter(fleet, "M", START, after(90))
    assert of_meter["metrics"]["readingCount"] == of_meter["sessions"][0]["acReadings"] == 2


def test_what_is_odd_of_one_is_counted() -> None:
    fleet = fleet_of((-1, "5"), sessions=[(0, 60, "5", "11"), (60, 90, None, "10.9")])
    fleet.vehicles["B"] = steady("0.09", 60)
    assert reference.figures(fleet, "B", START, after(90)).dips == 1
    fleet.max_plausible_kw = Fraction(4)
    assert reference.figures(fleet, "A", START, after(90)).implausible == 1
    assert energies(fleet) == {}
