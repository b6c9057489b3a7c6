"""Figures made of exact sums: totals, ratios, quality and alerts; rounding comes last.

A row here is what a query of `analytics.sql`, `fleet.sql` or `meter.sql` returns.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache, reduce
from typing import Any, Self

from schemas.analytics import (
    COMPLETE_SHARE,
    ESTIMATED_SHARE,
    IMPOSSIBLE_EFFICIENCY,
    LOW_EFFICIENCY,
    Alert,
    Coverage,
    Metrics,
    Quality,
    SessionCoverage,
)

ZERO = Decimal(0)
EXACT = Context(prec=1_000)
"""Precise enough for sums and ratios of all kWh that fit a double, down to their last decimal."""
LARGEST = sys.float_info.max
"""Larger figures are shown as this one, since JSON has no infinity."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """The sums of the meters' readings, or of the vehicle's, that belong to sessions.

    Energies in kWh; `seconds` of the sessions are covered, `expected` readings make them all.
    """

    energy: Decimal = ZERO
    estimated: Decimal = ZERO
    readings: int = 0
    expected: int = 0
    seconds: Decimal = ZERO

    @property
    def says_something(self) -> bool:
        """Whether there are readings, or energy that sessions themselves said."""
        return bool(self.readings or self.energy)

    def doubts(self, name: str, session_seconds: Decimal) -> Iterator[str]:
        """Why the side is not complete, as far as its own sums say."""
        if self.seconds < COMPLETE_SHARE * session_seconds:
            missing = 1 - EXACT.divide(self.seconds, session_seconds)
            yield f"{name} readings are missing for {_percent(missing)} of the time"
        if self.estimated > EXACT.multiply(ESTIMATED_SHARE, self.energy):
            yield f"{_percent(EXACT.divide(self.estimated, self.energy))} of {name} is estimated"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Both sides of some sessions, and what is known beside them."""

    ac: Side
    dc: Side
    sessions: int
    session_seconds: Decimal
    energy_outside: Decimal = ZERO
    readings: int = 0
    """All of the vehicles'; `temps` of them have a temperature."""
    temps: int = 0
    temp_sum: Decimal = ZERO
    counter_resets: int = 0
    dips: int = 0
    spikes: int = 0
    implausible: int = 0
    rejected: int = 0
    corrected: int = 0

    @classmethod
    def of_rollups(cls, row: Row) -> Self:
        """The figures of a row of the fleet."""
        ac, dc = (
            Side(
                energy=row[f"energy_{side}"],
                estimated=row[f"estimated_{side}"],
                readings=int(row[f"{side}_readings"]),
                expected=int(row[f"{side}_expected"]),
                seconds=row[f"{side}_seconds"],
            )
            for side in ("ac", "dc")
        )
        counts = ("sessions", "readings", "temps", *FLAGS, "rejected", "corrected")
        sums = ("session_seconds", "energy_outside", "temp_sum")
        of_both = {name: row[name] for name in sums} | {name: int(row[name]) for name in counts}
        return cls(ac=ac, dc=dc, **of_both)

    @property
    def ratio(self) -> Decimal | None:
        """DC / AC, not rounded; None when AC is 0."""
        return ratio(self.dc.energy, self.ac.energy)

    @property
    def quality(self) -> Quality:
        """What the figures rest on, in a word."""
        if not (self.sessions and self.ac.says_something and self.dc.says_something):
            return "none"
        return "partial" if any(self.doubts()) else "complete"

    def doubts(self) -> Iterator[str]:
        """Why figures of both sides are not complete: one phrase a reason."""
        yield from self.ac.doubts("AC", self.session_seconds)
        yield from self.dc.doubts("DC", self.session_seconds)
        yield from self._bad_readings()

    def _bad_readings(self) -> Iterator[str]:
        if self.implausible:
            yield f"implausible readings: {self.implausible:,}"
        if self.rejected:
            yield f"rejected readings: {self.rejected:,}"

    def metrics(self) -> Metrics:
        """Energies, ratio, temperature and counts, rounded."""
        return Metrics(
            total_energy_consumed_ac=rounded(self.ac.energy, 3),
            total_energy_delivered_dc=rounded(self.dc.energy, 3),
            efficiency_ratio=rounded_ratio(self.dc.energy, self.ac.energy),
            average_battery_temp=mean(self.temp_sum, self.temps),
            charging_sessions=self.sessions,
            reading_count=self.readings,
        )

    def coverage(self) -> Coverage:
        """What the figures are made of, and what was expected."""
        return Coverage(
            **dict(self.session_coverage()),
            dc_energy_outside_sessions=rounded(self.energy_outside, 3),
        )

    def session_coverage(self) -> SessionCoverage:
        """The same, but for what is of no session."""
        return SessionCoverage(
            ac_readings=self.ac.readings,
            ac_readings_expected=self.ac.expected,
            dc_readings=self.dc.readings,
            dc_readings_expected=self.dc.expected,
            session_seconds=rounded(self.session_seconds, 3),
            ac_seconds_covered=rounded(self.ac.seconds, 3),
            dc_seconds_covered=rounded(self.dc.seconds, 3),
            estimated_ac=rounded(self.ac.estimated, 3),
            estimated_dc=rounded(self.dc.estimated, 3),
            counter_resets=self.counter_resets,
            dips=self.dips,
            spikes=self.spikes,
            implausible_readings=self.implausible,
            rejected_readings=self.rejected,
            corrected_readings=self.corrected,
            quality=self.quality,
        )

    def alerts(self, more: Iterable[tuple[Any, str]] = ()) -> list[Alert]:
        """What a person should look at, before any rounding; none on quality `none`.

        Judged by products, which are exact: so does sql/queries/fleet.sql, which finds and counts
        the vehicles that have them. `more`: codes with messages of what the caller knows beside.
        """
        if self.quality == "none":
            return []
        why = "; ".join(self.doubts()) or None
        return [
            Alert(code=code, message=message, certain=why is None, why=why)
            for code, message in (*self._judged(), *more)
        ]

    def _judged(self) -> Iterator[tuple[Any, str]]:
        if self.ratio is not None:
            if self.dc.energy < EXACT.multiply(LOW_EFFICIENCY, self.ac.energy):
                shown = told_apart(self.ratio, LOW_EFFICIENCY)
                yield "low_efficiency", f"Efficiency {shown} is under {LOW_EFFICIENCY}"
            if self.dc.energy > EXACT.multiply(IMPOSSIBLE_EFFICIENCY, self.ac.energy):
                shown = told_apart(self.ratio, IMPOSSIBLE_EFFICIENCY)
                message = f"Efficiency {shown} is over 1: more DC delivered than AC consumed"
                yield "impossible_efficiency", message
        if self.implausible:
            yield "implausible_energy", implausible_message(self.implausible)


FLAGS = ("counter_resets", "dips", "spikes", "implausible")
"""What a reading may be, beside ordinary; columns that count them."""


def implausible_message(readings: int) -> str:
    """The message of the alert `implausible_energy`."""
    what = "reading has" if readings == 1 else "readings have"
    return f"{readings:,} {what} more energy than the device can carry in the time"


def total(rows: Sequence[Row], column: str) -> Decimal:
    """The exact sum of one column; null is 0."""
    return reduce(EXACT.add, (row[column] or ZERO for row in rows), ZERO)


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


def _percent(share: Decimal) -> str:
    return f"{float(share):.0%}" if share >= Decimal("0.01") else "under 1%"


def _quantized(value: Decimal, places: int) -> Decimal:
    return value.quantize(_unit(places), context=EXACT)


@cache
def _unit(places: int) -> Decimal:
    return Decimal(1).scaleb(-places)
