"""A vehicle's and a session's figures, and what all figures share: limits, windows, coverage."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple

from schemas.fields import Output, Query, Time
from schemas.sessions import Session

# What these mean is said where they are served: AnalyticsLimits.
LOW_EFFICIENCY = Decimal("0.85")
IMPOSSIBLE_EFFICIENCY = Decimal(1)
COMPLETE_SHARE = Decimal("0.95")

DEFAULT_WINDOW = timedelta(hours=24)
MAX_WINDOW = timedelta(days=31)
BASE_REACH = timedelta(days=31)
"""How much older than a register's reading the previous one may be, to count as its base."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)

AlertCode = Literal["low_efficiency", "impossible_efficiency"]
Quality = Literal["complete", "partial", "none"]
"""complete: both sides have COMPLETE_SHARE of the expected readings or more; none: one side has no
reading, or there is no session; else partial."""


class Window(NamedTuple):
    """A half-open stretch of time, `[start, end)`, UTC."""

    start: datetime
    end: datetime

    @property
    def base_start(self) -> datetime:
        """The earliest time of a reading that may be the base of a register's first one."""
        return self.start - min(BASE_REACH, self.start - EARLIEST)

    def parameters(self) -> dict[str, Any]:
        """What statements that sum readings are told of the window."""
        bases = {"base_start": self.base_start, "base_reach": BASE_REACH}
        return self._asdict() | bases

    def in_whole_hours(self) -> "Window":
        """Widened to whole UTC hours. Raises ValueError past the end of the year 9999."""
        start = self.start.replace(minute=0, second=0, microsecond=0)
        end = self.end.replace(minute=0, second=0, microsecond=0)
        try:
            return Window(start, end if end == self.end else end + HOUR)
        except OverflowError:
            raise ValueError("the window is outside the years 1 to 9999") from None

    def whole_days(self) -> "Window":
        """The whole UTC days inside; an empty window at its start when there is none."""
        first = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        past = self.end.replace(hour=0, minute=0, second=0, microsecond=0)
        if first < self.start and past > first:
            first += DAY
        return Window(first, past) if first < past else Window(self.start, self.start)


class WindowQuery(Query):
    """A window as a client asks for it; either side may be left out."""

    longest: ClassVar[timedelta] = MAX_WINDOW

    start_time: Time | None = None
    end_time: Time | None = None

    def window(self, now: datetime) -> Window:
        """The window that is meant: the last 24 h, or 24 h before or after the one side given.

        Raises ValueError when it is empty, reversed or longer than `longest`.
        """
        start, end = self.start_time, self.end_time
        try:
            if end is None:
                end = now if start is None else min(start + DEFAULT_WINDOW, now)
            if start is None:
                start = end - DEFAULT_WINDOW
        except OverflowError:
            raise ValueError("the window is outside the years 1 to 9999") from None
        if start >= end:
            raise ValueError("startTime must be before endTime, which is at most now by default")
        if end - start > self.longest:
            raise ValueError(f"the window must not be longer than {self.longest.days} days")
        return Window(start, end)


class AnalyticsLimits(Output):
    """The limits by which figures are judged, and the longest window they can be asked for."""

    low_efficiency: float = float(LOW_EFFICIENCY)
    """A ratio of DC to AC below it raises the alert `low_efficiency`."""
    impossible_efficiency: float = float(IMPOSSIBLE_EFFICIENCY)
    """A ratio above it raises the alert `impossible_efficiency`."""
    complete_share: float = float(COMPLETE_SHARE)
    """The share of the expected readings that each side of complete figures has, or more."""
    longest_window_days: int = MAX_WINDOW.days


class Period(Output):
    """The window an answer is about."""

    start: datetime
    end: datetime


class Metrics(Output):
    """Energies in kWh to 0.001, the ratio to 0.001, the temperature in degrees Celsius to 0.1."""

    total_energy_consumed_ac: float
    total_energy_delivered_dc: float
    efficiency_ratio: float | None
    average_battery_temp: float | None
    charging_sessions: int
    reading_count: int


class Hour(Output):
    """One UTC hour that has readings."""

    hour: datetime
    energy_ac: float
    energy_dc: float
    avg_temp: float | None
    efficiency: float | None


class Coverage(Output):
    """How many of the expected readings there are; one a minute is expected."""

    dc_energy_outside_sessions: float
    ac_readings: int
    ac_readings_expected: int
    dc_readings: int
    dc_readings_expected: int
    counter_resets: int
    quality: Quality


class Alert(Output):
    """Something in the figures that a person should look at."""

    code: AlertCode
    message: str


class Performance(Output):
    """A vehicle's charging in a window: AC side against DC side."""

    vehicle_id: str
    period: Period
    metrics: Metrics
    hourly_breakdown: list[Hour]
    coverage: Coverage
    alerts: list[Alert]


class SessionFigures(Session):
    """One charging session with its figures; while it is active, those up to now.

    Energies in kWh, temperature in degrees Celsius, states of charge in % as first and last read.
    """

    period: Period
    duration_minutes: float
    energy_ac: float
    energy_dc: float
    efficiency: float | None
    avg_temp: float | None
    soc_from: float | None
    soc_to: float | None
    coverage: Coverage
    alerts: list[Alert]


class Realtime(Output):
    """A vehicle's newest values, null before its first reading, and whether it is charging."""

    vehicle_id: str
    current_soc: float | None
    current_battery_temp: float | None
    last_updated: datetime | None
    is_charging: bool
