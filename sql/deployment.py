"""What the deployment's settings say to statements that make figures."""

from decimal import Decimal
from typing import Any

from schemas.analytics import REGISTER_TOLERANCE
from schemas.settings import Settings
from schemas.streams import METER, VEHICLE


def of_deployment(settings: Settings) -> dict[str, Any]:
    """Parameters for devices that do not say it themselves; the topics of rejected readings."""
    return {
        "energy_reading": settings.energy_reading,
        "report_seconds": settings.report_seconds,
        "tolerance": REGISTER_TOLERANCE,
        "sane_kw": Decimal(repr(settings.max_plausible_kw)),
        "meter_topic": settings.topic(METER),
        "vehicle_topic": settings.topic(VEHICLE),
    }
