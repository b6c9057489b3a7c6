"""The whole fleet's figures and a single meter's, as the HTTP API gives them."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from schemas.analytics import Alert, AlertCode, Coverage, Metrics, Period, Window, WindowQuery
from schemas.fields import Output
from schemas.sessions import Session

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


class MeterFigures(Output):
    """A meter's energy in a window, and the sessions on it."""

    meter_id: str
    period: Period
    metrics: MeterMetrics
    hourly_breakdown: list[MeterHour]
    sessions: list[MeterSession]


class FleetQuery(WindowQuery):
    """A window, at most `limit` vehicles, and only those with one alert when `alert` is given."""

    limit: Annotated[int, Field(ge=1, le=MAX_VEHICLES)] = DEFAULT_VEHICLES
    alert: AlertCode | None = None

    def window(self, now: datetime) -> Window:
        """The window that is meant, widened to whole hours. Raises ValueError."""
        return super().window(now).in_whole_hours()


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


class UnjudgedCounts(Output):
    """How many vehicles have a ratio that says nothing, or none; each counts once, by the first."""

    no_session: int
    """In no session: it did not charge."""
    no_readings: int
    """A side has no reading."""
    no_energy: int
    """No AC energy was drawn."""


class FleetFigures(Output):
    """All vehicles' charging in whole hours; `vehicles` from the worst efficiency on.

    That is the lowest; of those with `alert=impossible_efficiency` it is the highest. Those that
    cannot be judged come last.
    """

    period: Period
    as_of: datetime
    """Everything stored or changed before it is in the figures."""
    being_redone: bool
    """Whether a device's or the deployment's `energyReading` was changed, and not all figures
    follow it yet: until then they disagree with those of single vehicles."""
    metrics: Metrics
    coverage: Coverage
    alerts: list[Alert]
    vehicle_count: int
    alert_counts: AlertCounts
    unjudged_counts: UnjudgedCounts
    """What is in neither of these two was judged and is fine."""
    vehicles: list[FleetVehicle]
