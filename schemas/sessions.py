"""Charging sessions as the HTTP API takes and gives them."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator

from schemas.fields import DeviceId, Input, Output, Query, Time, TimesQuery

MAX_SESSIONS = 1_000

EndReason = Literal["ended", "timeout"]


class SessionStart(Input):
    """A session to begin, or a past one to enter whole when `ended_at` is given."""

    meter_id: DeviceId
    vehicle_id: DeviceId
    started_at: Time | None = None
    ended_at: Time | None = None


class SessionEnd(Input):
    """When to end a session; now, when not given."""

    ended_at: Time | None = None


class SessionChange(Input):
    """Corrected times; only those given change, and `ended_at: null` opens the session again."""

    started_at: Time | None = None
    ended_at: Time | None = None

    @field_validator("started_at")
    @classmethod
    def _given(cls, value: datetime | None) -> datetime:
        if value is None:
            raise ValueError("must not be null: every session has a start")
        return value


class Session(Output):
    """One charging session, `[started_at, ended_at)`; active while `ended_at` is null."""

    session_id: UUID
    meter_id: str
    vehicle_id: str
    started_at: datetime
    ended_at: datetime | None
    is_active: bool
    end_reason: EndReason | None
    """Null while active; `timeout` when nobody ended it and both devices had stopped reporting."""


class SessionPage(Query):
    """At most `limit` sessions, newest first, that come after the session `after`."""

    limit: Annotated[int, Field(ge=1, le=MAX_SESSIONS)] = MAX_SESSIONS
    after: UUID | None = None


class SessionFilter(SessionPage, TimesQuery):
    """Sessions of a vehicle, of a meter, and those that touch `[startTime, endTime)`."""

    vehicle_id: DeviceId | None = None
    meter_id: DeviceId | None = None
