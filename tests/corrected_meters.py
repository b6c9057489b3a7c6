"""What people correct, and what chargers say of their registers: and what is true then."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.real_meters import (
    AC,
    DC,
    QUALITY,
    RATIO,
    START,
    Case,
    after,
    charged,
    one_impossible,
    readings,
    register,
    rising,
    steady,
)
from tests.reference import Correction, Device, ReferenceFleet, Session

IMPLAUSIBLE, CORRECTED = "coverage.implausibleReadings", "coverage.correctedReadings"
AC_READINGS, ESTIMATED = "coverage.acReadings", "coverage.estimatedAc"


def said(meter: Device, start: str | None, stop: str | None) -> ReferenceFleet:
    """The register at the start and the stop of an hour's session; the car got 6 kWh."""
    fleet = charged(meter, steady("0.1", 60))
    shown = [None if value is None else Decimal(value) for value in (start, stop)]
    fleet.sessions = [Session("M", "V", START, after(60), *shown)]
    return fleet


def quarterly() -> Device:
    """It is read every 15 minutes, seven minutes off the session's ends."""
    counted = ["999.2", "1000.8", "1002.4", "1004", "1005.6", "1006.5"]
    return register(*((15 * n - 7, kwh) for n, kwh in enumerate(counted)))


def one_after_the_other() -> ReferenceFleet:
    """B starts as A stops, and says a little more of the register than A does."""
    ends = [(0, 60, "1000", "1006"), (60, 120, "1006.1", "1010")]
    sessions = [
        Session("M", name, after(start), after(end), Decimal(first), Decimal(last))
        for name, (start, end, first, last) in zip("AB", ends, strict=True)
    ]
    second = Device(False, readings((61, "1.8"), (119, "1.8")))
    return ReferenceFleet({"M": register()}, {"A": steady("0.1", 60), "B": second}, sessions)


SAID = {
    "a charger that says nothing but its register at start and stop": Case(
        said(register(), "1000", "1006.5"),
        {AC: 6.5, RATIO: 0.923, AC_READINGS: 0, ESTIMATED: 0.0, QUALITY: "partial"},
    ),
    "the same of a charger that should be read every 5 minutes": Case(
        said(register(pace_s=300), "1000", "1006.5"),
        {AC: 6.5, RATIO: 0.923, AC_READINGS: 0, ESTIMATED: 6.5, QUALITY: "partial"},
    ),
    "a register read every 15 minutes, and at start and stop": Case(
        said(quarterly(), "1000", "1006.2"), {AC: 6.2, RATIO: 0.968, AC_READINGS: 4}
    ),
    "a meterStop above what is read after it": Case(
        said(quarterly(), "1000", "1006.9"),
        {AC: 5.6, RATIO: 1.071, AC_READINGS: 4},
        {"impossible_efficiency": False},
    ),
    "a session that starts where another stops": Case(
        one_after_the_other(), {AC: 4.0, DC: 3.6, RATIO: 0.9}, vehicle="B"
    ),
}
"""No case has a meterStart or meterStop where the meter was read."""


@dataclass
class Corrected:
    case: Case
    undone: dict[str, Any]
    """What the figures say without the correction."""


def corrected(fleet: ReferenceFleet, *corrections: Correction) -> ReferenceFleet:
    """Readings of the meter are."""
    fleet.meters["M"].corrections = list(corrections)
    return fleet


def void(first: float, past: float) -> Correction:
    return Correction("void", after(first), after(past))


def an_hour_late() -> Device:
    meter = steady("0.1", 60)
    meter.readings = [r._replace(time=r.time + timedelta(hours=1)) for r in meter.readings]
    return meter


def without_its_last() -> Device:
    meter = rising("1000", "0.9", 6, 300)
    del meter.readings[-1]
    return meter


ONE = tuple(readings((31, "0.1")))
ZERO = register((1, "18210.4"), (2, "18210.5"), (3, "0"), (4, "18210.6"))
CORRECTIONS = {
    "an impossible reading, voided": Corrected(
        Case(
            corrected(charged(one_impossible(), steady("0.09", 60)), void(31, 31.5)),
            {AC: 5.9, RATIO: 0.915, IMPLAUSIBLE: 0, CORRECTED: 1, QUALITY: "complete"},
        ),
        {AC: 5.9, RATIO: 0.915, IMPLAUSIBLE: 1, CORRECTED: 0, QUALITY: "partial"},
    ),
    "an impossible reading, replaced": Corrected(
        Case(
            corrected(
                charged(one_impossible(), steady("0.09", 60)),
                Correction("replace", after(31), after(31.5), ONE),
            ),
            {AC: 6.0, RATIO: 0.9, IMPLAUSIBLE: 0, CORRECTED: 1, QUALITY: "complete"},
        ),
        {AC: 5.9, IMPLAUSIBLE: 1, CORRECTED: 0, QUALITY: "partial"},
    ),
    "a register's zero, voided": Corrected(
        Case(
            corrected(charged(ZERO, steady("0.045", 4)), void(3, 4)),
            {AC: 0.2, "coverage.spikes": 0, CORRECTED: 1, AC_READINGS: 3},
        ),
        {AC: 0.2, "coverage.spikes": 1, CORRECTED: 0, AC_READINGS: 4},
    ),
    "a clock that was an hour late": Corrected(
        Case(
            corrected(
                charged(an_hour_late(), steady("0.09", 60)),
                Correction("shift", after(60), after(121), shift=-timedelta(hours=1)),
            ),
            {AC: 6.0, RATIO: 0.9, CORRECTED: 60, QUALITY: "complete"},
        ),
        {AC: 0.0, RATIO: None, CORRECTED: 0, QUALITY: "none"},
    ),
    "a closing reading that is missing, added": Corrected(
        Case(
            corrected(
                charged(without_its_last(), steady("0.165", 30), 30),
                Correction("add", after(30), after(31), tuple(readings((30, "1005.4")))),
            ),
            {AC: 5.4, RATIO: 0.917, AC_READINGS: 6, CORRECTED: 1, QUALITY: "complete"},
        ),
        {AC: 4.5, RATIO: 1.1, AC_READINGS: 5, CORRECTED: 0},
    ),
}
