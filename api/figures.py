"""Figures made of exact sums: totals, ratios, quality and alerts; rounding comes last.

A row here is what a query of `analytics.sql` or `rollups.sql` returns about one hour, one session
or one vehicle. All of these queries use the same names for their sums.
"""

import sys
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal
from functools import cache, reduce
from typing import Any

from schemas.analytics import (
    COMPLETE_SHARE,
    IMPOSSIBLE_EFFICIENCY,
    LOW_EFFICIENCY,
    Alert,
    Coverage,
    Hour,
    Metrics,
    Quality,
)

ZERO = Decimal(0)
EXACT = Context(prec=1_000)
"""Precise enough for sums and ratios of all kWh that fit a double, down to their last decimal."""
LARGEST = sys.float_info.max
"""Larger figures are shown as this one, since JSON has no infinity."""

Row = dict[str, Any]


class Figures:
    """The sums of some rows, and the figures that follow from them.

    `sessions` and `session_minutes` are those of all rows together. One reading is expected in each
    minute of a session.
    """

    def __init__(self, rows: Sequence[Row], *, sessions: int, session_minutes: int) -> None:
        self.energy_ac = total(rows, "energy_ac")
        self.energy_dc = total(rows, "energy_dc")
        self.energy_outside = total(rows, "energy_outside")
        self.temp_sum = total(rows, "temp_sum")
        self.readings = int(total(rows, "readings"))
        self.ac_readings = int(total(rows, "ac_readings"))
        self.dc_readings = int(total(rows, "dc_readings"))
        self.counter_resets = int(total(rows, "counter_resets"))
        self.sessions = sessions
        self.readings_expected = session_minutes

    @property
    def ratio(self) -> Decimal | None:
        """DC / AC, not rounded; None when AC is 0."""
        return ratio(self.energy_dc, self.energy_ac)

    @property
    def quality(self) -> Quality:
        """Whether the ratio is made of enough readings of both sides."""
        fewest = min(self.ac_readings, self.dc_readings)
        if fewest == 0 or self.sessions == 0:
            return "none"
        return "complete" if fewest >= COMPLETE_SHARE * self.readings_expected else "partial"

    def metrics(self) -> Metrics:
        """Energies, ratio, temperature and counts, rounded."""
        return Metrics(
            total_energy_consumed_ac=rounded(self.energy_ac, 3),
            total_energy_delivered_dc=rounded(self.energy_dc, 3),
            efficiency_ratio=rounded_ratio(self.energy_dc, self.energy_ac),
            average_battery_temp=mean(self.temp_sum, self.readings),
            charging_sessions=self.sessions,
            reading_count=self.readings,
        )

    def coverage(self) -> Coverage:
        """How many readings the figures are made of, and how many were expected."""
        return Coverage(
            dc_energy_outside_sessions=rounded(self.energy_outside, 3),
            ac_readings=self.ac_readings,
            ac_readings_expected=self.readings_expected,
            dc_readings=self.dc_readings,
            dc_readings_expected=self.readings_expected,
            counter_resets=self.counter_resets,
            quality=self.quality,
        )

    def alerts(self) -> list[Alert]:
        """The alerts that the ratio raises before it is rounded.

        Judged by products, which are exact: so does sql/queries/fleet.sql, which finds and counts
        the vehicles that have them.
        """
        if self.quality == "none" or self.ratio is None:
            return []
        if self.energy_dc < EXACT.multiply(LOW_EFFICIENCY, self.energy_ac):
            shown = told_apart(self.ratio, LOW_EFFICIENCY)
            message = f"Efficiency {shown} is under {LOW_EFFICIENCY}"
            return [Alert(code="low_efficiency", message=message)]
        if self.energy_dc > EXACT.multiply(IMPOSSIBLE_EFFICIENCY, self.energy_ac):
            shown = told_apart(self.ratio, IMPOSSIBLE_EFFICIENCY)
            message = f"Efficiency {shown} is over 1: more DC delivered than AC consumed"
            return [Alert(code="impossible_efficiency", message=message)]
        return []


def hour(start: datetime, rows: Sequence[Row]) -> Hour:
    """The figures of the hour that starts there, from all its rows."""
    energy_ac, energy_dc = total(rows, "energy_ac"), total(rows, "energy_dc")
    return Hour(
        hour=start,
        energy_ac=rounded(energy_ac, 3),
        energy_dc=rounded(energy_dc, 3),
        avg_temp=mean(total(rows, "temp_sum"), int(total(rows, "readings"))),
        efficiency=rounded_ratio(energy_dc, energy_ac),
    )


def total(rows: Sequence[Row], column: str) -> Decimal:
    """The exact sum of one column."""
    return reduce(EXACT.add, (row[column] for row in rows), ZERO)


def ratio(energy_dc: Decimal, energy_ac: Decimal) -> Decimal | None:
    """DC / AC, not rounded; None when AC is 0."""
    return EXACT.divide(energy_dc, energy_ac) if energy_ac else None


def rounded_ratio(energy_dc: Decimal, energy_ac: Decimal) -> float | None:
    """DC / AC to 0.001; None when AC is 0."""
    exact = ratio(energy_dc, energy_ac)
    return None if exact is None else rounded(exact, 3)


def mean(total: Decimal, count: int) -> float | None:
    """A mean temperature to 0.1; None when there is no reading."""
    return rounded(total / count, 1) if count else None


def rounded(value: Decimal, places: int) -> float:
    """Rounded half to even, in decimal; no larger than the largest number JSON can hold."""
    return max(-LARGEST, min(LARGEST, float(_quantized(value, places))))


def told_apart(ratio: Decimal, limit: Decimal) -> str:
    """A ratio to 0.001, or with as many more places as show that it is not the limit."""
    places = 3
    while _quantized(ratio, places) == limit:
        places += 1
    return f"{_quantized(ratio, places):f}"


def _quantized(value: Decimal, places: int) -> Decimal:
    return value.quantize(_unit(places), context=EXACT)


@cache
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)
