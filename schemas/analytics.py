"""A vehicle's and a session's figures, and what all figures share: limits, windows, coverage."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from schemas.fields import Output, Query, Time
from schemas.sessions import Session

# What these mean is said where they are served: AnalyticsLimits.
LOW_EFFICIENCY = Decimal("0.85")
IMPOSSIBLE_EFFICIENCY = Decimal(1)
COMPLETE_SHARE = Decimal("0.95")
ESTIMATED_SHARE = Decimal("0.05")

EDITION = 3
"""Of the rules by which figures are made; rollups of another edition are made anew."""
STAMPED_PACE_S = 60
"""How often a device reports of which that is not known."""
REGISTER_TOLERANCE = 0.2
"""By how many kWh a register may dip of which that is not known."""
MANY_GAPS = 10
"""So many gaps between readings say how often a device really reports."""

DEFAULT_WINDOW = timedelta(hours=24)
MAX_WINDOW = timedelta(days=31)
MAX_GROUPED_WINDOW = timedelta(days=400)
"""Of figures that are grouped by day or by month."""
REACH = timedelta(days=31)
"""How much older than a reading the previous one may be, to count as such."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)
LATEST = datetime.max.replace(tzinfo=UTC)

AlertCode = Literal[
    "low_efficiency", "impossible_efficiency", "implausible_energy", "cadence_mismatch"
]
GroupBy = Literal["hour", "day", "month"]
Quality = Literal["complete", "partial", "none"]
"""complete: readings of both sides cover COMPLETE_SHARE of the sessions or more, ESTIMATED_SHARE of
the energy or less is estimated, and nothing is implausible or rejected; none: a side has no
reading, or there is no session; else partial."""


class Window(NamedTuple):
    """A half-open stretch of time, `[start, end)`, UTC."""

    start: datetime
    end: datetime

    @property
    def base_start(self) -> datetime:
        """The earliest time of a reading that may be the previous one of the first."""
        return self.start - min(2 * REACH, self.start - EARLIEST)

    @property
    def reach_end(self) -> datetime:
        """The latest time of a reading that may speak of the window."""
        return self.end + min(2 * REACH, LATEST - self.end)

    def parameters(self) -> dict[str, Any]:
        """What statements that sum readings are told of the window."""
        around = {"base_start": self.base_start, "reach_end": self.reach_end, "reach": REACH}
        return self._asdict() | around

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

    def groups(self, by: GroupBy) -> list["Window"]:
        """The UTC hours, days or months of the window, in order; the outer ones are cut to it."""
        found = []
        first = self.start
        while first < self.end:
            past = min(_next(first, by), self.end)
            found.append(Window(first, past))
            first = past
        return found


def _next(time: datetime, by: GroupBy) -> datetime:
    """Where the hour, day or month that holds the time ends; the last one has no end."""
    hour = time.replace(minute=0, second=0, microsecond=0)
    day = hour.replace(hour=0)
    try:
        if by == "hour":
            return hour + HOUR
        return day + DAY if by == "day" else (day.replace(day=28) + 4 * DAY).replace(day=1)
    except OverflowError:
        return LATEST


class WindowQuery(Query):
    """A window as a client asks for it; either side may be left out."""

    longest: ClassVar[timedelta] = MAX_WINDOW

    start_time: Time | None = None
    end_time: Time | None = None

    @property
    def most(self) -> timedelta:
        """How long the window may be."""
        return self.longest

    def window(self, now: datetime) -> Window:
        """The window that is meant: the last 24 h, or 24 h before or after the one side given.

        Raises ValueError when it is empty, reversed or longer than `most`.
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
        if end - start > self.most:
            raise ValueError(f"the window must not be longer than {self.most.days} days")
        return Window(start, end)


class GroupedQuery(WindowQuery):
    """A window, of at most 31 days, or of 400 when figures are grouped by day or by month.

    Groups are UTC hours, days or months, cut to the window.
    """

    group_by: GroupBy | None = None

    @property
    def most(self) -> timedelta:
        """How long the window may be."""
        return MAX_GROUPED_WINDOW if self.group_by in ("day", "month") else self.longest


class PerformanceQuery(GroupedQuery):
    """The same; by hour, unless something else is said."""

    group_by: GroupBy = "hour"

    def window(self, now: datetime) -> Window:
        """The window that is meant; a long one is widened to whole hours. Raises ValueError."""
        window = super().window(now)
        return window if window.end - window.start <= MAX_WINDOW else window.in_whole_hours()


class AnalyticsLimits(Output):
    """The limits by which figures are judged, and the longest window they can be asked for."""

    low_efficiency: float = float(LOW_EFFICIENCY)
    """A ratio of DC to AC below it raises the alert `low_efficiency`."""
    impossible_efficiency: float = float(IMPOSSIBLE_EFFICIENCY)
    """A ratio above it raises the alert `impossible_efficiency`."""
    complete_share: float = float(COMPLETE_SHARE)
    """The share of the sessions' time that each side covers at least in complete figures."""
    estimated_share: float = float(ESTIMATED_SHARE)
    """The share of each side's energy that may be estimated in complete figures."""
    longest_window_days: int = MAX_WINDOW.days
    longest_grouped_window_days: int = MAX_GROUPED_WINDOW.days
    """Of figures that are grouped by day or by month."""


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


class SessionCoverage(Output):
    """What figures of sessions rest on; energies in kWh, times in seconds.

    Readings of a device are expected every `reportSeconds`; without that, once a minute.
    """

    ac_readings: int
    ac_readings_expected: int
    dc_readings: int
    dc_readings_expected: int
    session_seconds: float
    ac_seconds_covered: float
    """How much of the sessions the meters' readings speak for."""
    dc_seconds_covered: float
    estimated_ac: float
    """What was shared among sessions by time, since no reading tells them apart."""
    estimated_dc: float
    counter_resets: int
    dips: int
    spikes: int
    implausible_readings: int
    """Those with more energy than any device, or than this one, can carry."""
    rejected_readings: int
    """Readings of these devices that were rejected and not resolved."""
    corrected_readings: int
    """Readings of these devices that a correction brought in, moved or took out."""
    quality: Quality


class Coverage(SessionCoverage):
    """The same, and the DC energy of the vehicles that no session accounts for."""

    dc_energy_outside_sessions: float


class ObservedSeconds(Output):
    """The median of the seconds between readings; null where there are no two."""

    ac: float | None
    dc: float | None


class ObservedCoverage(Coverage):
    """Coverage with how often the devices really reported."""

    observed_seconds: ObservedSeconds


class Alert(Output):
    """Something in the figures that a person should look at."""

    code: AlertCode
    message: str
    certain: bool
    """Whether the figures are complete; else `why` says what they lack."""
    why: str | None = Field(None, exclude_if=lambda why: why is None)


class Group(Period):
    """A vehicle's charging in a day or a month, as far as the window has it."""

    energy_ac: float
    energy_dc: float
    avg_temp: float | None
    efficiency: float | None


class Performance(Output):
    """A vehicle's charging in a window: AC side against DC side.

    A window of over 31 days is widened to whole hours, and its figures are as the fleet's.
    """

    vehicle_id: str
    period: Period
    metrics: Metrics
    hourly_breakdown: list[Hour]
    """Empty when days or months were asked for."""
    groups: list[Group] | None
    """Every day or month of the window, when these were asked for."""
    as_of: datetime | None
    """Of a window of over 31 days: everything stored or changed before it is in the figures."""
    coverage: ObservedCoverage
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
