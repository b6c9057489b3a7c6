"""To which session an increment belongs and when it counts, computed by hand: one test a rule."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.real_meters import START, after, readings
from tests.reference import Device, ReferenceFleet, Session, Share, performance, shares_of_meter
from tests.reference.covered import covered, stretches

MICROSECOND = timedelta(microseconds=1)
Seen = tuple[float, str]


def fleet_of(meter: Device, *sessions: tuple[float, float | None], **more: Any) -> ReferenceFleet:
    """One meter, and sessions A, B, C... on it of (start, end) in minutes."""
    fleet = ReferenceFleet({"M": meter}, {}, **more)
    for name, (start, end) in zip("ABCDE", sessions, strict=False):
        until = None if end is None else after(end)
        fleet.sessions.append(Session("M", name, after(start), until))
        fleet.vehicles[name] = Device(False)
    return fleet


def shared(
    *seen: Seen, sessions: Sequence[tuple[float, float | None]], register: bool = True, **more: Any
) -> list[tuple[str, float, float]]:
    """(session, kWh, of these estimated) of each share but those of nothing at all."""
    fleet = fleet_of(Device(register, readings(*seen), **more), *sessions)
    return [
        (s.session.vehicle if s.session else "-", float(s.energy), float(s.estimated))
        for s in shares_of_meter(fleet, "M")
        if s.energy
    ]


def last_share(fleet: ReferenceFleet) -> Share:
    return shares_of_meter(fleet, "M")[-1]


class TestStamped:
    @pytest.mark.parametrize(
        ("minutes", "session"), [(9.9, "-"), (10, "A"), (20, "B"), (30, "B"), (30.1, "-")]
    )
    def test_it_belongs_to_the_session_of_its_time(self, minutes: float, session: str) -> None:
        found = shared((minutes, "1"), sessions=[(10, 20), (20, 30)], register=False)
        assert found == [(session, 1, 0)]

    def test_a_session_without_length_has_its_instant_unless_another_goes_on(self) -> None:
        assert shared((15, "1"), sessions=[(10, 15), (15, 15)], register=False) == [("B", 1, 0)]
        assert shared((15, "1"), sessions=[(10, 20), (15, 15)], register=False) == [("A", 1, 0)]
        assert shared((10, "1"), sessions=[(10, 20), (10, 10)], register=False) == [("A", 1, 0)]

    def test_long_gaps_are_not_shared(self) -> None:
        found = shared((0, "0"), (500, "20"), sessions=[(10, 20), (490, None)])
        assert found == [("B", 20, 0)]


class TestOrdinary:
    """A pace of 10 minutes: gaps of 25 minutes at most are ordinary."""

    def test_all_of_it_goes_where_its_gap_lies_longest(self) -> None:
        found = shared((8, "0"), (18, "10"), sessions=[(0, 12), (12, 40)], pace_s=600)
        assert found == [("B", 10, 4)]

    def test_to_the_earlier_of_two_alike(self) -> None:
        found = shared((8, "0"), (18, "10"), sessions=[(0, 13), (13, 40)], pace_s=600)
        assert found == [("A", 10, 5)]

    @pytest.mark.parametrize(("minutes", "session"), [(30, "A"), (33, "A"), (40, "-"), (10, "-")])
    def test_a_closing_reading_counts_and_one_of_the_time_before_does_not(
        self, minutes: float, session: str
    ) -> None:
        found = shared((minutes, "1"), sessions=[(10, 30)], register=False, pace_s=600)
        assert found == [(session, 1, 0)]

    def test_what_lies_in_no_session_is_not_estimated(self) -> None:
        assert shared((5, "0"), (15, "1"), sessions=[(12, 90)], pace_s=600) == [("A", 1, 0)]

    def test_two_and_a_half_paces_are_ordinary_and_no_more(self) -> None:
        at = [(0, 5), (20, None)]
        assert shared((0, "0"), (25, "10"), sessions=at, pace_s=600) == [("A", 10, 5 / 25 * 10)]
        found = shared((0, "0"), (25.001, "10"), sessions=at, pace_s=600)
        assert [name for name, *_ in found] == ["A", "B"]

    def test_an_interval_speaks_of_two_paces_at_most(self) -> None:
        at = [(0, 100), (105, None)]
        seen = ((50, "1"), (120, "10"))
        found = shared(*seen, sessions=at, register=False, pace_s=600)
        assert found == [("A", 1, 0), ("B", 10, 0)]

    def test_without_a_reading_before_it_speaks_of_one_pace(self) -> None:
        found = shared((120, "10"), sessions=[(0, 111), (111, None)], register=False, pace_s=600)
        assert found == [("B", 10, 1)]

    def test_the_deployment_has_a_pace_for_those_without(self) -> None:
        meter = Device(False, readings((33, "1")))
        assert last_share(fleet_of(meter, (10, 30))).session is None
        assert last_share(fleet_of(meter, (10, 30), default_pace_s=600)).session is not None


class TestLong:
    def test_it_is_shared_by_time_among_sessions(self) -> None:
        found = shared(
            (0, "0"), (100, "12"), sessions=[(-10, 20), (50, 60), (70, None)], pace_s=600
        )
        assert found == [("A", 4, 4), ("B", 2, 2), ("C", 6, 6)]

    def test_one_session_in_it_gets_all(self) -> None:
        assert shared((0, "0"), (100, "12"), sessions=[(40, 50)], pace_s=600) == [("A", 12, 12)]

    def test_a_session_that_begins_at_its_end_gets_nothing(self) -> None:
        found = shared((0, "0"), (100, "12"), sessions=[(-5, 0), (100, None)], pace_s=600)
        assert found == [("-", 12, 0)]

    def test_what_a_session_could_not_carry_is_of_none(self) -> None:
        most = 30 * 1.2 * 10 / 60
        found = shared(
            (0, "0"), (100, "20"), sessions=[(10, 20), (40, 50)], pace_s=600, max_kw=Decimal(30)
        )
        assert found == [("A", most, most), ("B", most, most), ("-", 20 - 2 * most, 0)]

    def test_for_a_device_of_which_nobody_says_it_the_limit_of_all_holds(self) -> None:
        meter = Device(True, readings((0, "0"), (100, "20")), pace_s=600)
        fleet = fleet_of(meter, (10, 20), max_plausible_kw=Fraction(30))
        assert [share.energy for share in shares_of_meter(fleet, "M")][1:] == [6, 14]

    def test_the_shares_of_one_increment_make_it_whole(self) -> None:
        found = shared((0, "0"), (61, "1"), sessions=[(0, 7), (8, 21), (30, 61)], pace_s=60)
        assert sum(Fraction(energy) for _, energy, _ in found) == pytest.approx(1, abs=1e-15)


class TestInstant:
    @pytest.mark.parametrize(
        ("minutes", "instant"),
        [(29, after(29)), (30, after(30) - MICROSECOND), (33, after(30) - MICROSECOND)],
    )
    def test_it_counts_at_its_time_while_the_session_lasts_and_then_at_its_last_moment(
        self, minutes: float, instant: datetime
    ) -> None:
        meter = Device(False, readings((minutes, "1")), pace_s=600)
        assert last_share(fleet_of(meter, (10, 30))).instant == instant

    def test_a_stamped_reading_at_the_very_end_counts_within_the_session(self) -> None:
        meter = Device(False, readings((30, "1")))
        assert last_share(fleet_of(meter, (10, 30))).instant == after(30) - MICROSECOND

    def test_in_a_session_without_length_it_counts_at_its_start(self) -> None:
        meter = Device(False, readings((30, "1")))
        assert last_share(fleet_of(meter, (30, 30))).instant == after(30)

    def test_the_shares_of_a_long_gap_count_in_their_sessions(self) -> None:
        meter = Device(True, readings((0, "0"), (100, "12")), pace_s=60)
        found = shares_of_meter(fleet_of(meter, (10, 20), (90, None)), "M")
        assert [share.instant for share in found][1:] == [after(20) - MICROSECOND, after(100)]

    def test_a_window_that_equals_the_session_has_all_of_it(self) -> None:
        meter = Device(False, readings(*((10 * n + 3, "1") for n in range(8))), pace_s=600)
        fleet = fleet_of(meter, (20, 60))
        found = performance(fleet, "A", after(20), after(60))["metrics"]
        assert found["totalEnergyConsumedAc"] == 5
        assert performance(fleet, "A", START, after(90))["metrics"]["totalEnergyConsumedAc"] == 5


class TestCovered:
    """Seconds of the first two hours; the pace is 10 minutes."""

    @pytest.mark.parametrize(
        ("register", "times", "minutes"),
        [
            (True, [], 0),
            (True, [30], 20),
            (True, [30, 55], 10 + 25 + 10),
            (True, [30, 55.001], 10 + 10 + 10),
            (False, [30, 60], 10 + 30 + 10),
            (False, [30, 60.5], 10 + 10 + 20 + 10),
            (False, [0, 5, 115], 15 + 20 + 5),
        ],
    )
    def test_a_reading_covers_its_gap_and_a_pace_after_it(
        self, register: bool, times: list[float], minutes: float
    ) -> None:
        device = Device(register, readings(*((time, "1") for time in times)))
        found = stretches(device, timedelta(minutes=10))
        assert covered(found, START, after(120)) == timedelta(minutes=minutes)

    def test_a_reading_after_more_than_31_days_covers_one_pace_before_it(self) -> None:
        device = Device(True, readings((0, "1"), (44_641, "2")))
        found = list(stretches(device, timedelta(minutes=10)))
        assert covered(found, after(1), after(44_641)) == timedelta(minutes=9 + 10)

    def test_a_stamped_device_covers_as_if_it_reported_each_minute(self) -> None:
        device = Device(True, readings((0, "1"), (2.5, "2"), (10, "3")))
        found = stretches(device, None)
        assert covered(found, START, after(60)) == timedelta(minutes=2.5 + 1 + 1)

    def test_nothing_beyond_now_is_covered_or_expected(self) -> None:
        meter = Device(False, readings((9, "1"), (19, "1")), pace_s=600)
        fleet = fleet_of(meter, (0, None), now=after(25))
        found = performance(fleet, "A", START, after(60))["coverage"]
        assert found["sessionSeconds"] == 25 * 60
        assert found["acSecondsCovered"] == 25 * 60
        assert found["acReadingsExpected"] == 2
