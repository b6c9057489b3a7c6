"""The one body of every error the HTTP API answers with."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from schemas.fields import Output

MAX_DETAILS = 100
"""Problems that one answer names; beyond them, it says how many more there are."""
MAX_FIELD_CHARACTERS, MAX_MESSAGE_CHARACTERS = 200, 300


class Problem(Output):
    """What is wrong with one field of the input."""

    field: str
    """Path of the field, such as `payload.voltage` or `records[3].streamType`."""
    message: str
    reason: str | None = None
    """For readings: why they are not valid, such as invalid, too_old or in_future."""


class InTheWay(Output):
    """The session that is in the way, and the field of the request because of which it is."""

    field: str
    session_id: UUID


class Taken(Output):
    """An instant that is taken, and the field that would bring another reading there."""

    field: str
    timestamp: datetime


class ErrorBody(Output):
    """`details` lists problems for a 400 and a replay's 409; of other 409s what is in the way."""

    status_code: int
    message: str
    details: list[Problem | InTheWay | Taken] | None
    timestamp: datetime
    path: str


def problem(field: str, message: str, reason: str | None = None) -> Problem:
    """A problem whose texts, which may be the client's own, are cut to a bounded length."""
    return Problem(
        field=field[:MAX_FIELD_CHARACTERS], message=message[:MAX_MESSAGE_CHARACTERS], reason=reason
    )


def capped(problems: Sequence[Problem], more: int = 0, what: str = "problems") -> list[Problem]:
    """The first MAX_DETAILS of the problems, and an entry for those left out and `more` others.

    Where just one would be left out it stays: it may be such an entry itself.
    """
    if not more and len(problems) <= MAX_DETAILS + 1:
        return list(problems)
    more += max(0, len(problems) - MAX_DETAILS)
    shown = list(problems[:MAX_DETAILS])
    if more:
        shown.append(Problem(field="", message=f"and {more:,} more {what}"))
    return shown
