"""What corrections make of readings, computed by hand: one test a rule."""

from datetime import datetime, timedelta

from tests.real_meters import after, readings
from tests.reference import Correction, Device

Seen = tuple[float, str]


def void(first: float, past: float) -> Correction:
    return Correction("void", after(first), after(past))


def replace(first: float, past: float, *new: Seen) -> Correction:
    return Correction("replace", after(first), after(past), tuple(readings(*new)))


def add(*new: Seen) -> Correction:
    times = [minutes for minutes, _ in new]
    return Correction("add", after(min(times)), after(max(times) + 1), tuple(readings(*new)))


def shift(first: float, past: float, minutes: float) -> Correction:
    return Correction("shift", after(first), after(past), shift=timedelta(minutes=minutes))


def device(*corrections: Correction) -> Device:
    """Read at 0, 10, 20 and 30 minutes: 1, 2, 3 and 4 kWh."""
    sent = readings((0, "1"), (10, "2"), (20, "3"), (30, "4"))
    return Device(False, sent, corrections=list(corrections))


def read(of: Device) -> dict[float, str]:
    """kWh by minutes."""
    return {minutes(reading.time): str(reading.kwh) for reading in of.in_order()}


def corrected(of: Device) -> list[float]:
    return [minutes(time) for time in of.corrected()]


def minutes(time: datetime) -> float:
    return (time - after(0)).total_seconds() / 60


def test_void_takes_out_what_lies_in_the_window() -> None:
    of = device(void(10, 30))
    assert read(of) == {0: "1", 30: "4"}
    assert corrected(of) == [10, 20]


def test_replace_brings_others_in() -> None:
    of = device(replace(5, 25, (10, "7"), (15, "8")))
    assert read(of) == {0: "1", 10: "7", 15: "8", 30: "4"}
    assert corrected(of) == [10, 15, 20]


def test_add_leaves_the_others() -> None:
    of = device(add((5, "7"), (15, "8")))
    assert read(of) == {0: "1", 5: "7", 10: "2", 15: "8", 20: "3", 30: "4"}
    assert corrected(of) == [5, 15]


def test_shift_moves_what_lies_in_the_window_onto_its_own_instants_too() -> None:
    of = device(shift(0, 30, 5), shift(0, 30, -15))
    assert read(of) == {-10: "1", 0: "2", 10: "3", 30: "4"}
    assert corrected(of) == [-10, 0, 10]


def test_each_is_applied_to_what_those_before_it_left() -> None:
    of = device(shift(0, 1, 60), add((5, "7")), void(5, 6), shift(60, 61, 60), void(0, 25))
    assert read(of) == {30: "4", 120: "1"}
    assert corrected(of) == [120, 10, 20]


def test_one_that_is_undone_was_never_made() -> None:
    moved, voided = shift(0, 1, 5), void(5, 6)
    assert read(device(moved, voided)) == {10: "2", 20: "3", 30: "4"}
    assert read(device(moved._replace(in_force=False), voided)) == read(device())
    assert corrected(device(voided._replace(in_force=False))) == []


def test_what_comes_late_is_treated_as_what_was_there() -> None:
    of = device(void(5, 15), shift(15, 25, 60))
    of.readings += readings((12, "8"), (18, "9"))
    assert read(of) == {0: "1", 30: "4", 78: "9", 80: "3"}


def test_where_a_late_one_meets_a_corrected_one_the_newest_correction_wins() -> None:
    of = device(add((5, "7")), shift(15, 16, -9))
    of.readings += readings((5, "8"), (15, "9"))
    assert read(of)[5] == "7"
    assert read(of)[6] == "9"
    of.corrections.append(shift(40, 41, -35))
    of.readings += readings((40, "6"))
    assert read(of)[5] == "6"
