"""What the readings of a register stand for, computed by hand: one test a rule."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from tests.real_meters import after
from tests.reference import Device, Exchange, Reading, increments

DAYS = 24 * 60.0
Seen = tuple[float, str]


def counted(
    *values: str | Seen, starts: tuple[float, ...] = (), most_kw: int = 10_000, **more: Any
) -> list[tuple[float, str]]:
    """(kWh, kind) of each reading; a minute apart, unless it says (minutes after START, value)."""
    seen = [(float(n), v) if isinstance(v, str) else v for n, v in enumerate(values)]
    readings = [Reading(after(minutes), Decimal(value)) for minutes, value in seen]
    pace = timedelta(seconds=more["pace_s"]) if "pace_s" in more else None
    device = Device(True, readings, **more)
    found = increments(device, [after(start) for start in starts], pace, Fraction(most_kw))
    return [(float(i.energy), i.kind + "!" * i.implausible) for i in found]


def marked(minutes: float, old: str | None = None, new: str | None = None) -> Exchange:
    given = [None if value is None else Decimal(value) for value in (old, new)]
    return Exchange(after(minutes), *given)


def test_it_counts_what_it_rises_since_the_reading_before_it() -> None:
    assert counted("5", "5.5", "5.5", "7") == [
        (0, "first"),
        (0.5, "rise"),
        (0, "rise"),
        (1.5, "rise"),
    ]


@pytest.mark.parametrize(("minutes", "energy"), [(31 * DAYS, 2.0), (31 * DAYS + 0.001, 0.0)])
def test_the_reading_before_is_at_most_31_days_older(minutes: float, energy: float) -> None:
    assert counted((0, "7"), (minutes, "9"))[1][0] == energy


def test_of_several_readings_of_one_time_the_first_counts() -> None:
    assert counted((0, "1"), (1, "2"), (1, "9")) == [(0, "first"), (1, "rise")]


class TestExchange:
    @pytest.mark.parametrize("new", ["3", "700"])
    def test_rising_or_falling_it_counts_what_both_registers_rose(self, new: str) -> None:
        first = str(Decimal(new) - 1)
        found = counted("500", new, str(Decimal(new) + 2), exchanges=[marked(1, "500.5", first)])
        assert found == [(0, "first"), (1.5, "exchange"), (2, "rise")]

    @pytest.mark.parametrize(
        ("old", "new", "energy"),
        [("500.5", None, 0.5), (None, "2", 1.0), (None, None, 0.0), ("499", "4", 0.0)],
    )
    def test_only_what_is_given_counts_and_never_less_than_nothing(
        self, old: str | None, new: str | None, energy: float
    ) -> None:
        found = counted("500", "3", exchanges=[marked(0.5, old, new)])
        assert found[1] == (energy, "exchange")

    def test_of_several_the_first_old_and_the_last_new_register_count(self) -> None:
        several = [marked(0.7, "70", "8"), marked(0.2, "501", "60"), marked(0.9, "9", "2.5")]
        assert counted("500", "3", exchanges=several)[1] == (1.5, "exchange")

    @pytest.mark.parametrize(("minutes", "kind"), [(0.0, "reset"), (1.0, "exchange")])
    def test_it_lies_after_the_reading_before_and_up_to_this_one(
        self, minutes: float, kind: str
    ) -> None:
        found = counted("500", "3", "3", "3", exchanges=[marked(minutes)])
        assert found[1][1] == kind

    def test_no_reading_after_it_takes_back_what_came_before_it(self) -> None:
        found = counted("500", "3", "600", exchanges=[marked(1.5, "3", "599")])
        assert found == [(0, "first"), (3, "reset"), (1, "exchange")]
        assert counted("500", "600", "500", exchanges=[marked(1.5)])[1] == (100, "rise")

    def test_a_dip_before_it_is_forgotten(self) -> None:
        found = counted("5", "4.9", "7", "7.5", exchanges=[marked(1.5)])
        assert [energy for energy, _ in found] == [0, 0, 0, 0.5]


class TestRollOver:
    def test_it_counts_over_the_modulus(self) -> None:
        found = counted("999.5", "0.25", "1", modulus=Decimal(1000))
        assert found == [(0, "first"), (0.75, "roll-over"), (0.75, "rise")]

    def test_one_that_no_device_could_carry_is_none(self) -> None:
        found = counted("18210.5", "0", "18210.6", modulus=Decimal(100_000))
        assert [kind for _, kind in found] == ["first", "spike", "rise"]

    def test_one_that_this_device_could_not_carry_is_none(self) -> None:
        wrapped: dict[str, Any] = {"modulus": Decimal(100), "pace_s": 60}
        assert counted("50", "49.9", **wrapped)[1] == (99.9, "roll-over")
        assert counted("50", "49.9", max_kw=Decimal(22), **wrapped)[1] == (0, "dip")
        assert counted("50", "49.9", max_kw=Decimal(22), modulus=Decimal(100))[1][1] == "roll-over"

    def test_a_dip_before_it_is_forgotten(self) -> None:
        found = counted("250.1", "250", "49.8", "50", modulus=Decimal(300))
        assert found[1:] == [(0, "dip"), (99.8, "roll-over"), (0.2, "rise")]


class TestSpike:
    @pytest.mark.parametrize("back", ["100", "99.8", "100.5"])
    def test_a_drop_that_the_next_reading_takes_back(self, back: str) -> None:
        found = counted("100", "0", back, "101")
        assert [kind for _, kind in found][:2] == ["first", "spike"]
        assert sum(energy for energy, _ in found) == 1

    def test_a_drop_that_only_the_second_reading_takes_back(self) -> None:
        found = counted("100", "1", "2", "100.5")
        assert found == [(0, "first"), (0, "spike"), (0, "spike"), (0.5, "rise")]

    def test_a_drop_that_only_the_third_reading_would_take_back_is_a_reset(self) -> None:
        found = counted("100", "1", "1.5", "1.75", "100.5")
        assert [kind for _, kind in found] == ["first", "reset", "rise", "rise", "rise"]
        assert [energy for energy, _ in found] == [0, 1, 0.5, 0.25, 98.75]

    def test_it_is_taken_back_to_the_tolerance_below(self) -> None:
        assert counted("100", "0", "99.7", "0.1")[1] == (0, "reset")
        assert counted("100", "0", "99.7", "0.1", tolerance=Decimal("0.3"))[1] == (0, "spike")

    def test_a_rise_that_the_next_reading_takes_back(self) -> None:
        found = counted("100", "5000", "100.1", "100.2", most_kw=1_000_000)
        assert found == [(0, "first"), (0, "spike"), (0.1, "rise"), (0.1, "rise")]

    @pytest.mark.parametrize("after_it", [("100.5", "99.7", "99.8"), ("100.5", "100.3"), ("101",)])
    def test_a_rise_that_is_not_taken_back(self, after_it: tuple[str, ...]) -> None:
        """The next one is too low, or falls by the tolerance only, or not at all."""
        assert counted("100", *after_it)[1][1] == "rise"

    def test_a_rise_is_taken_back_by_the_very_next_reading_or_not_at_all(self) -> None:
        assert [kind for _, kind in counted("100", "150", "150", "100", "100", "100")] == [
            "first",
            "rise",
            "rise",
            "reset",
            "rise",
            "rise",
        ]

    def test_none_is_seen_across_the_start_of_a_session(self) -> None:
        assert counted("100", "1", "100", starts=(0.5,))[1] == (1, "reset")
        assert counted("100", "1", "100", starts=(1.0,))[1] == (1, "reset")
        assert counted("100", "1", "100", starts=(1.5,))[1] == (1, "reset")
        assert counted("100", "1", "2", "100", starts=(2.5,))[1] == (1, "reset")
        assert counted("100", "150", "100", starts=(1.5,))[1] == (50, "rise")
        assert counted("100", "1", "100", starts=(0.0, 2.1))[1] == (0, "spike")

    def test_a_reading_31_days_later_takes_nothing_back(self) -> None:
        late = 1 + 31 * DAYS
        assert counted((0, "100"), (1, "1"), (late, "100"))[1] == (0, "spike")
        assert counted((0, "100"), (1, "150"), (late + 0.1, "100"))[1] == (50, "rise")


class TestPending:
    def test_a_drop_counts_nothing_until_two_readings_follow_it(self) -> None:
        assert counted("100", "1") == [(0, "first"), (0, "pending")]
        assert counted("100", "1", "2") == [(0, "first"), (0, "pending"), (0, "pending")]
        assert counted("100", "1", "2", "3") == [
            (0, "first"),
            (1, "reset"),
            (1, "rise"),
            (1, "rise"),
        ]

    @pytest.mark.parametrize("later", [{"starts": (7.0,)}, {"exchanges": [marked(7)]}])
    def test_a_session_or_an_exchange_after_it_settles_it(self, later: dict[str, Any]) -> None:
        assert counted("100", "1", **later)[1] == (1, "reset")


class TestDip:
    def test_the_next_increase_counts_from_the_highest(self) -> None:
        found = counted("310.2", "310.3", "310.2", "310.25", "310.4")
        assert [kind for _, kind in found] == ["first", "rise", "dip", "rise", "rise"]
        assert [energy for energy, _ in found] == [0, 0.1, 0, 0, 0.1]

    def test_the_highest_of_the_ten_readings_before_it(self) -> None:
        after_it = [f"{4.85 + n / 1000:.3f}" for n in range(1, 10)]
        assert counted("5", "4.85", *after_it[:8], "6")[-1][0] == 1
        assert counted("5", "4.85", *after_it, "6")[-1][0] == 1.141

    def test_spikes_are_left_out(self) -> None:
        found = counted("5", "4.9", "900", "5.1", most_kw=1_000_000)
        assert [kind for _, kind in found] == ["first", "dip", "spike", "rise"]
        assert found[-1][0] == 0.1

    def test_the_highest_is_none_from_before_a_reset(self) -> None:
        assert counted("5", "4.9", "1", "1.5", "2")[2:] == [
            (1, "reset"),
            (0.5, "rise"),
            (0.5, "rise"),
        ]

    def test_it_falls_by_at_most_the_tolerance(self) -> None:
        assert counted("5", "4.8", "4.8", "4.8")[1][1] == "dip"
        assert counted("5", "4.79", "4.79", "4.79")[1][1] == "reset"
        assert counted("5", "4.79", "4.79", tolerance=Decimal("0.21"))[1][1] == "dip"
        assert counted("5", "4.99", "4.99", "4.99", tolerance=Decimal(0))[1][1] == "reset"

    def test_none_is_seen_across_the_start_of_a_session(self) -> None:
        assert counted("5", "4.9", starts=(1.0,))[1] == (4.9, "reset")
        assert counted("5", "4.9", starts=(0.0, 2.0))[1] == (0, "dip")

    def test_a_start_does_not_make_the_highest_forgotten(self) -> None:
        assert counted("5", "4.9", "5.1", starts=(1.5,))[2][0] == 0.1


class TestPlausible:
    def test_what_no_device_can_carry_counts_nothing_and_the_chain_goes_on_from_it(self) -> None:
        found = counted("0", "200", "400.1", "401")
        assert found == [(0, "first"), (200, "rise"), (0, "rise!"), (0.9, "rise")]

    def test_a_minute_at_least(self) -> None:
        found = counted((0, "0"), (0.01, "2"), (0.02, "4.1"), most_kw=100)
        assert found[1:] == [(2, "rise"), (0, "rise!")]

    def test_a_reset_can_be_implausible(self) -> None:
        assert counted("900", "300", "300", "300")[1] == (0, "reset!")

    def test_an_interval_of_which_there_is_no_reading_before_may_last_an_hour(self) -> None:
        for kwh, expected in (("12000", (12_000, False)), ("12000.1", (0, True))):
            device = Device(False, [Reading(after(0), Decimal(kwh))])
            (found,) = increments(device, [], None, Fraction(10_000))
            assert (float(found.energy), found.implausible) == expected

    def test_what_this_device_cannot_carry_counts_but_is_named(self) -> None:
        own: dict[str, Any] = {"max_kw": Decimal(50), "pace_s": 120}
        assert counted("0", "2", **own)[1] == (2, "rise")
        assert counted("0", "2.1", **own)[1] == (2.1, "rise!")
        assert counted((0, "0"), (4, "4.1"), **own)[1] == (4.1, "rise!")
        assert counted("0", "2.1", max_kw=Decimal(50))[1] == (2.1, "rise")
