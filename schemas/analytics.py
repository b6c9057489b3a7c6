"""What the analytics answer, and the window a question is about."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import Field

from schemas.fields import Output, Query, Time
from schemas.sessions import Session

DEFAULT_WINDOW = timedelta(hours=24)
MAX_WINDOW = timedelta(days=31)
BASE_REACH = timedelta(days=31)
"""How long before a register's reading the previous one may lie to count as its base."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EARLIEST = datetime.min.replace(tzinfo=UTC)

DEFAULT_VEHICLES = 100
MAX_VEHICLES = 1_000

AlertCode = Literal["low_efficiency", "impossible_efficiency"]
Quality = Literal["complete", "partial", "none"]
"""complete: both sides at 95 % of the expected readings or more; none: a side without any, or no
session; else partial."""


class Window(NamedTuple):
    """A half-open stretch of time, `[start, end)`, UTC."""

    start: datetime
    end: datetime

    @property
    def base_start(self) -> datetime:
        """How far back the base of a register's first reading may lie."""
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
    """A window as asked for; either side may be left out."""

    longest: ClassVar[timedelta] = MAX_WINDOW

    start_time: Time | None = None
    end_time: Time | None = None

    def window(self, now: datetime) -> Window:
        """The window meant: the last 24 h, or 24 h beside the one side given.

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
    """How much of what should have been read was read; expected is one reading a minute."""

    dc_energy_outside_sessions: float
    ac_readings: int
    ac_readings_expected: int
    dc_readings: int
    dc_readings_expected: int
    counter_resets: int
    quality: Quality


class Alert(Output):
    """Something about the figures a person should look at."""

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


class MeterMetrics(Output):
    """Energies in kWh, whoever charged; together the first is the sum of the other two."""

    total_energy_consumed_ac: float
    energy_in_sessions: float
    energy_outside_sessions: float
    charging_sessions: int
    reading_count: int
    counter_resets: int


class MeterHour(Output):
    """One UTC hour in which the meter was read; energy in kWh."""

    hour: datetime
    energy_ac: float
    readings: int


class MeterSession(Session):
    """A session on the meter, with its energy in kWh and its readings inside the window."""

    energy_ac: float
    ac_readings: int


class MeterFigures(Output):
    """A meter's energy in a window, and who charged there."""

    meter_id: str
    period: Period
    metrics: MeterMetrics
    hourly_breakdown: list[MeterHour]
    sessions: list[MeterSession]


class FleetQuery(WindowQuery):
    """A window, at most `limit` vehicles, and only those with one alert when `alert` is given."""

    limit: Annotated[int, Field(ge=1, le=MAX_VEHICLES)] = DEFAULT_VEHICLES
    alert: AlertCode | None = None


class FleetVehicle(Output):
    """One vehicle's share of the fleet's figures."""

    vehicle_id: str
    metrics: Metrics
    coverage: Coverage
    alerts: list[Alert]


class AlertCounts(Output):
    """How many vehicles have each alert."""

    low_efficiency: int
    impossible_efficiency: int


class FleetFigures(Output):
    """All vehicles' charging in whole hours; `vehicles` from the worst efficiency on.

    That is the lowest; of those with `alert=impossible_efficiency` it is the highest. Everything
    stored before `as_of` is in the figures.
    """

    period: Period
    as_of: datetime
    metrics: Metrics
    coverage: Coverage
    alerts: list[Alert]
    vehicle_count: int
    alert_counts: AlertCounts
    vehicles: list[FleetVehicle]


class Realtime(Output):
    """A vehicle as it was last heard of; nulls while it has been silent."""

    vehicle_id: str
    current_soc: float | None
    current_battery_temp: float | None
    last_updated: datetime | None
    is_charging: bool
