"""The whole fleet's figures and a single meter's, as the HTTP API gives them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.analytics import (
    Alert,
    Coverage,
    GroupBy,
    GroupedQuery,
    Metrics,
    Period,
    Window,
    WindowQuery,
)
from schemas.fields import Output
from schemas.sessions import Session

JudgedAlert = Literal["low_efficiency", "impossible_efficiency", "implausible_energy"]
"""The alerts that the rollups can tell."""
DEFAULT_VEHICLES = 100
MAX_VEHICLES = 1_000


class MeterMetrics(Output):
    """Energies in kWh, whichever vehicle charged; the first is the sum of the other two."""

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


class MeterCoverage(Output):
    """What a meter's figures rest on; `estimated_ac` in kWh."""

    estimated_ac: float
    """What was shared among sessions by time, since no reading tells them apart."""
    dips: int
    spikes: int
    implausible_readings: int
    rejected_readings: int
    corrected_readings: int
    observed_seconds: float | None
    """The median of the seconds between readings."""


class MeterGroup(Period):
    """A meter's energy in kWh in an hour, a day or a month, as far as the window has it."""

    energy_ac: float
    energy_in_sessions: float
    readings: int


class MeterFigures(Output):
    """A meter's energy in a window, and the sessions on it."""

    meter_id: str
    period: Period
    metrics: MeterMetrics
    hourly_breakdown: list[MeterHour]
    """Empty when days or months were asked for."""
    groups: list[MeterGroup] | None
    """Every hour, day or month of the window, when these were asked for."""
    sessions: list[MeterSession]
    coverage: MeterCoverage
    alerts: list[Alert]


class MeterQuery(WindowQuery):
    """A window, and UTC hours, days or months to group its figures by, cut to it."""

    group_by: GroupBy | None = None


class RankedQuery(WindowQuery):
    """A window, and at most `limit` vehicles or chargers.

    `alert` and `certain` ask for those with alerts; `certain` false: those whose figures are not
    complete, so that their alerts are not sure.
    """

    limit: Annotated[int, Field(ge=1, le=MAX_VEHICLES)] = DEFAULT_VEHICLES
    alert: JudgedAlert | None = None
    certain: bool | None = None

    def window(self, now: datetime) -> Window:
        """The window that is meant, widened to whole hours. Raises ValueError."""
        return super().window(now).in_whole_hours()

    def parameters(self) -> dict[str, Any]:
        """What statements that rank are told."""
        return self.model_dump(include={"limit", "alert", "certain"})


class FleetQuery(RankedQuery, GroupedQuery):
    """The same of vehicles; all of them together by hour, day or month, too."""


class FleetGroup(Period):
    """The fleet's figures in an hour, a day or a month, as far as the window has it."""

    metrics: Metrics
    coverage: Coverage
    alerts: list[Alert]


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
    implausible_energy: int


class UnjudgedCounts(Output):
    """How many vehicles have a ratio that says nothing, or none; each counts once, by the first."""

    no_session: int
    """In no session: it did not charge."""
    no_readings: int
    """A side has neither a reading nor a share of one."""
    no_energy: int
    """No AC energy was drawn."""


class FleetFigures(Output):
    """All vehicles' charging in whole hours; `vehicles` from the worst efficiency on.

    That is the lowest; of those with `alert=impossible_efficiency` it is the highest. Low ones of
    which it is certain come first, then other low ones; those that cannot be judged come last.
    """

    period: Period
    as_of: datetime
    """Everything stored or changed before it is in the figures."""
    being_redone: bool
    """Whether what holds for a device's whole history (`energyReading`, `reportSeconds` and so on),
    or the deployment's, was changed, and not all figures follow it yet: until then they disagree
    with those of single vehicles."""
    metrics: Metrics
    coverage: Coverage
    alerts: list[Alert]
    vehicle_count: int
    alert_counts: AlertCounts
    certain_alert_counts: AlertCounts
    """Of these, the vehicles whose figures are complete."""
    unjudged_counts: UnjudgedCounts
    """What is in neither of these two was judged and is fine."""
    vehicles: list[FleetVehicle]
    groups: list[FleetGroup] | None
    """Every hour, day or month of the period, when these were asked for."""
