"""What the figures sum up, how good they are and what they raise, computed by hand."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from tests import reference
from tests.real_meters import START, after, charged, readings, rising, steady
from tests.reference import Device, ReferenceFleet, Session

SECOND = timedelta(seconds=1)


def an_hour() -> ReferenceFleet:
    """Read each minute; 6 kWh AC, 5.4 kWh DC: as complete as can be."""
    return charged(steady("0.1", 60), steady("0.09", 60))


def quality(fleet: ReferenceFleet) -> str:
    return reference.figures(fleet, "V", START, after(90)).quality


def alerts(fleet: ReferenceFleet) -> dict[str, bool]:
    found = reference.performance(fleet, "V", START, after(90))["alerts"]
    return {alert["code"]: alert["certain"] for alert in found}


def lose(count: int) -> Callable[[ReferenceFleet], None]:
    def lost(fleet: ReferenceFleet) -> None:
        del fleet.meters["M"].readings[20 : 20 + count]

    return lost


def reject_a_meters(fleet: ReferenceFleet) -> None:
    fleet.meters["M"].rejected = [after(20)]


def reject_outside(fleet: ReferenceFleet) -> None:
    fleet.vehicles["V"].rejected = [START - SECOND, after(90)]


def too_much(fleet: ReferenceFleet) -> None:
    fleet.meters["M"].max_kw = Decimal("4.9")


def guess(at: int) -> Callable[[ReferenceFleet], None]:
    """Of one minute's 0.1 kWh most is told apart from another session's by time alone."""

    def guessed(fleet: ReferenceFleet) -> None:
        fleet.sessions = [
            Session("M", "V", START, after(2) - at * SECOND),
            Session("M", "V", after(2) - at * SECOND, after(60)),
        ]
        del fleet.meters["M"].readings[4:], fleet.vehicles["V"].readings[4:]
        fleet.sessions[1] = fleet.sessions[1]._replace(end=after(4))

    return guessed


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda fleet: None, "complete"),
        (lose(5), "complete"),
        (lose(6), "partial"),
        (reject_a_meters, "partial"),
        (reject_outside, "complete"),
        (too_much, "partial"),
        (guess(12), "complete"),
        (guess(13), "partial"),
        (lose(60), "partial"),
        (lambda fleet: fleet.meters["M"].readings.clear(), "none"),
        (lambda fleet: fleet.sessions.clear(), "none"),
    ],
)
def test_quality(change: Callable[[ReferenceFleet], None], expected: str) -> None:
    """Around what an interval meter lost three minutes are covered."""
    fleet = an_hour()
    change(fleet)
    assert quality(fleet) == expected


def test_alerts_are_certain_only_when_figures_are_complete() -> None:
    fleet = charged(steady("0.1", 60), steady("0.084", 60))
    assert alerts(fleet) == {"low_efficiency": True}
    fleet.vehicles["V"].rejected = [after(5)]
    assert alerts(fleet) == {"low_efficiency": False}


@pytest.mark.parametrize(
    ("dc", "raised"),
    [
        ("0.0849999", {"low_efficiency"}),
        ("0.085", set()),
        ("0.1", set()),
        ("0.1000001", {"impossible_efficiency"}),
    ],
)
def test_limits_are_kept_before_rounding(dc: str, raised: set[str]) -> None:
    assert set(alerts(charged(steady("0.1", 60), steady(dc, 60)))) == raised


def test_what_a_device_cannot_carry_raises_an_alert() -> None:
    fleet = an_hour()
    too_much(fleet)
    assert alerts(fleet) == {"implausible_energy": False}


@pytest.mark.parametrize(("pace_s", "raised"), [(30, False), (29, True), (120, False), (121, True)])
def test_a_pace_that_is_more_than_twice_off_raises_an_alert(pace_s: int, raised: bool) -> None:
    fleet = an_hour()
    fleet.vehicles["V"].pace_s = pace_s
    assert ("cadence_mismatch" in alerts(fleet)) is raised


@pytest.mark.parametrize(("count", "raised"), [(10, False), (11, True)])
def test_ten_gaps_tell_a_pace(count: int, raised: bool) -> None:
    fleet = charged(steady("0.1", count, 300), steady("0.09", 60))
    fleet.meters["M"].pace_s = None
    assert ("cadence_mismatch" in alerts(fleet)) is raised


def test_energy_outside_sessions_is_told_apart() -> None:
    fleet = an_hour()
    fleet.sessions = [Session("M", "V", START, after(40))]
    found = reference.figures(fleet, "V", START, after(90))
    assert (float(found.dc.energy), float(found.outside)) == (3.6, 1.8)
    metrics = reference.meter(fleet, "M", START, after(90))["metrics"]
    assert (metrics["energyInSessions"], metrics["energyOutsideSessions"]) == (4, 2)


def test_a_session_without_length_is_not_counted_but_its_reading_is() -> None:
    fleet = charged(Device(False, readings((5, "1"))), Device(False, readings((5, "2"))))
    fleet.sessions = [Session("M", "V", after(5), after(5))]
    found = reference.figures(fleet, "V", START, after(90))
    assert (float(found.ac.energy), float(found.dc.energy)) == (1, 2)
    assert (found.sessions, found.quality) == (0, "none")


def test_a_reading_that_two_vehicles_share_is_flagged_for_each() -> None:
    """A meter that could not carry what it says is silent over two sessions."""
    meter = rising("0", "1", 1, 6000)
    meter.pace_s, meter.max_kw = 60, Decimal("0.01")
    fleet = charged(meter, Device(False), 20)
    fleet.vehicles["W"] = Device(False)
    fleet.sessions.append(Session("M", "W", after(30), after(40)))
    flags = [reference.figures(fleet, name, START, after(200)).implausible for name in "VW"]
    assert flags == [1, 1]
    assert [reference.figures(fleet, name, START, after(200)).ac.readings for name in "VW"] == [
        1,
        1,
    ]


def test_hours_have_what_counts_in_them() -> None:
    """The session ends with the hour; what its last reading says a little later lies before it."""
    meter = Device(False, readings((30, "1"), (60.5, "2"), (100, "4")), pace_s=1800)
    fleet = charged(meter, Device(False, readings((10, "1"), (70, "3"))), 60)
    found = reference.performance(fleet, "V", START, after(120))["hourlyBreakdown"]
    assert [(hour["hour"], hour["energyAc"], hour["energyDc"]) for hour in found] == [
        (START, 3, 1),
        (after(60), 0, 0),
    ]
