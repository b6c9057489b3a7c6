"""What the health routes answer."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from schemas.fields import Output


class Check(Output):
    """One thing the API depends on; `message` says what is wrong with it."""

    status: Literal["up", "down"]
    message: Annotated[str | None, Field(examples=[None])]


class Checks(Output):
    """Everything the API depends on."""

    database: Check
    kafka: Check


class Health(Output):
    """Degraded: readings are not accepted or may be lost; unhealthy: nothing can be answered."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    checks: Checks
    warnings: list[str]
    """What is allowed here and should be known of, such as that nobody needs a key."""


class Sign(Output):
    """That the process lives, or that it is ready."""

    status: Literal["live", "ready"]
    timestamp: datetime
