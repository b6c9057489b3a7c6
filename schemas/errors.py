"""The one body of every error the HTTP API answers with."""

from datetime import datetime

from schemas.fields import Output


class Problem(Output):
    """What is wrong with one field of the input."""

    field: str
    """Path of the field, such as `payload.voltage` or `records[3].streamType`."""
    message: str
    reason: str | None = None
    """For readings: why they are not valid, such as invalid, too_old or in_future."""


class ErrorBody(Output):
    """`details` is a list of problems for a 400 and a replay's 409, else null."""

    status_code: int
    message: str
    details: list[Problem] | None
    timestamp: datetime
    path: str
