"""The figures of chargers: which of them loses energy, since when, and with which vehicles."""

from datetime import datetime

from schemas.analytics import Alert, GroupBy, GroupedQuery, Period, SessionCoverage, Window
from schemas.fields import Output
from schemas.fleet import AlertCounts


class ChargerMetrics(Output):
    """Of the sessions on a charger: energies in kWh to 0.001, the ratio of DC to AC to 0.001."""

    total_energy_consumed_ac: float
    total_energy_delivered_dc: float
    efficiency_ratio: float | None
    charging_sessions: int
    vehicles: int
    """How many there were in these sessions."""


class Charger(Output):
    """One charger of all."""

    meter_id: str
    location: str | None
    metrics: ChargerMetrics
    coverage: SessionCoverage
    alerts: list[Alert]


class Chargers(Output):
    """All chargers with sessions in whole hours; `meters` as the fleet's vehicles are ranked."""

    period: Period
    as_of: datetime
    """Everything stored or changed before it is in the figures."""
    being_redone: bool
    """As the fleet's."""
    meter_count: int
    alert_counts: AlertCounts
    certain_alert_counts: AlertCounts
    """Of these, the chargers whose figures are complete."""
    meters: list[Charger]


class ChargerQuery(GroupedQuery):
    """A window, and how its figures are grouped in time: by day, unless something else is said."""

    group_by: GroupBy = "day"

    def window(self, now: datetime) -> Window:
        """The window that is meant, widened to whole hours. Raises ValueError."""
        return super().window(now).in_whole_hours()


class Elsewhere(Output):
    """A vehicle's sessions on all other chargers in the same window; energy in kWh."""

    efficiency_ratio: float | None
    energy_ac: float
    chargers: int


class ChargerVehicle(Output):
    """A vehicle's sessions on the charger, and elsewhere: is it the charger or the vehicle?"""

    vehicle_id: str
    metrics: ChargerMetrics
    coverage: SessionCoverage
    alerts: list[Alert]
    elsewhere: Elsewhere


class ChargerGroup(Period):
    """The charger's figures in an hour, a day or a month, as far as the window has it."""

    metrics: ChargerMetrics
    coverage: SessionCoverage
    alerts: list[Alert]


class ChargerEfficiency(Output):
    """A charger's figures in whole hours: in all, of each vehicle, the worst first, and in time."""

    meter_id: str
    location: str | None
    period: Period
    as_of: datetime
    being_redone: bool
    metrics: ChargerMetrics
    coverage: SessionCoverage
    alerts: list[Alert]
    vehicles: list[ChargerVehicle]
    groups: list[ChargerGroup]
    """Every hour, day or month of the period."""
