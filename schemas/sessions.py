"""Charging sessions as the HTTP API takes and gives them.

A charger may give its own name for a session, the transaction, and say it again and again; and what
its register shows, in kWh, when the session starts and ends.
"""

import re
from datetime import datetime
from typing import Annotated, Literal, NamedTuple, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, field_validator

from schemas.fields import Amount, DeviceId, Input, Output, Query, Time, TimesQuery
from schemas.streams.times import to_datetime, to_micros
from schemas.text import ID_PATTERN, MAX_ID_CHARACTERS, check_id, storable

MAX_SESSIONS = 1_000
_UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
CURSOR_PATTERN = f"^(-?[0-9]{{1,18}}_)?{_UUID}$"
_CURSOR = re.compile(CURSOR_PATTERN, re.ASCII)

_ID_SCHEMA = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_ID_CHARACTERS,
    "pattern": ID_PATTERN,
}

EndReason = Literal["ended", "timeout"]


def _as_text(value: object) -> object:
    """A connector's number as text, as it is kept."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return str(value)
    return value


TransactionId = Annotated[
    str,
    AfterValidator(check_id),
    AfterValidator(storable),
    Field(examples=["TX-1001"], json_schema_extra={**_ID_SCHEMA}),
]
"""The charger's own name for a session: 1 to 64 characters, none of them a control character."""
ConnectorId = Annotated[
    TransactionId,
    BeforeValidator(_as_text),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, _ID_SCHEMA]}),
]
"""Which of the charger's connectors it is, as text or as a whole number, which becomes text."""


class SessionStart(Input):
    """A session to begin, or a past one to enter whole when `ended_at` is given.

    The same `transaction_id` with the same meter and vehicle again gives the session that it began.
    """

    meter_id: DeviceId
    vehicle_id: DeviceId
    started_at: Time | None = None
    ended_at: Time | None = None
    transaction_id: TransactionId | None = None
    connector_id: ConnectorId | None = None
    meter_start: Amount | None = None
    """What the meter's register showed at the start, in kWh."""
    meter_stop: Amount | None = None
    """What it showed at the end, in kWh; only with `endedAt`."""


class SessionEnd(Input):
    """When to end a session; now, when not given. With its transaction it may be said again."""

    ended_at: Time | None = None
    transaction_id: TransactionId | None = None
    meter_stop: Amount | None = None
    """What the meter's register showed at the end, in kWh."""


class TransactionEnd(SessionEnd):
    """The end of the session that has this transaction."""

    transaction_id: TransactionId


class SessionChange(Input):
    """What to correct; only what is given changes, and `ended_at: null` opens the session again.

    A session that is opened again has no `meter_stop` any more.
    """

    started_at: Time | None = None
    ended_at: Time | None = None
    connector_id: ConnectorId | None = None
    meter_start: Amount | None = None
    meter_stop: Amount | None = None

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
    transaction_id: str | None
    """The charger's own name for it."""
    connector_id: str | None
    meter_start: float | None
    """What the meter's register showed at the start, in kWh."""
    meter_stop: float | None

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
    """Sessions of a vehicle, of a meter, of a transaction, that touch `[startTime, endTime)`."""

    vehicle_id: DeviceId | None = None
    meter_id: DeviceId | None = None
    transaction_id: TransactionId | None = None
