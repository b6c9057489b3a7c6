"""Charging sessions as the HTTP API takes and gives them."""

import re
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from schemas.fields import DeviceId, Input, Output, Query, Time, TimesQuery
from schemas.streams.times import to_datetime, to_micros

MAX_SESSIONS = 1_000
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
CURSOR_PATTERN = f"^(-?[0-9]{{1,18}}_)?{_UUID}$"
_CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)

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


class Cursor(NamedTuple):
    """A place in a list of sessions, newest first: by what they are sorted by.

    So a page goes on where the one before ended, even when its last session was moved since.
    """

    started_at: datetime | None
    """None in one of release 0.1.0, which had the session's id alone: it stands where it is now."""
    session_id: UUID

    @classmethod
    def parse(cls, text: object) -> Self:
        """The cursor that has this text. Raises ValueError."""
        try:
            if not isinstance(text, str) or not _CURSOR.fullmatch(text):
                raise ValueError("it has another form")
            micros, _, session_id = text.rpartition("_")
            return cls(to_datetime(int(micros)) if micros else None, UUID(session_id))
        except (ValueError, OverflowError):
            raise ValueError("not the `after` of a list's Link header") from None

    def __str__(self) -> str:
        time = f"{to_micros(self.started_at)}_" if self.started_at else ""
        return f"{time}{self.session_id}"


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

    @property
    def cursor(self) -> Cursor:
        """Its place in a list."""
        return Cursor(self.started_at, self.session_id)


class SessionPage(Query):
    """At most `limit` sessions, newest first, that come after the place `after`."""

    limit: Annotated[int, Field(ge=1, le=MAX_SESSIONS)] = MAX_SESSIONS
    after: Annotated[
        Cursor | None,
        BeforeValidator(Cursor.parse),
        WithJsonSchema({"type": "string", "pattern": CURSOR_PATTERN}),
    ] = None
    """Where the page before ended, from its Link header."""


class SessionFilter(SessionPage, TimesQuery):
    """Sessions of a vehicle, of a meter, and those that touch `[startTime, endTime)`."""

    vehicle_id: DeviceId | None = None
    meter_id: DeviceId | None = None
