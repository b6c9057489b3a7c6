"""Alerts of the figures as rows with a life: opened, acknowledged, resolved; `docs/alerts.md`."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self, get_args
from uuid import UUID

from pydantic import AfterValidator, Field

from schemas.fields import DEFAULT_PAGE, DeviceId, Input, Output, PageLimit, Query
from schemas.text import storable

JUDGED_FOR = timedelta(days=3)
"""So long after its end a session's figures open alerts; one that is open is judged for ever."""
MAX_NOTE_CHARACTERS = 1_000
MAX_NUMBER = 2**63 - 1

EVENTS = ("opened", "acknowledged", "resolved")
"""The steps in the life of an alert that others are told."""
EVENT_TYPE, EVENT_MEDIA_TYPE = "energy.alert", "application/cloudevents+json"
"""Of CloudEvents: before the step's name; and what is sent over HTTP."""

RaisedCode = Literal[
    "low_efficiency",
    "impossible_efficiency",
    "implausible_energy",
    "silent_device",
    "sinking_charger",
]
RAISED_CODES: tuple[RaisedCode, ...] = get_args(RaisedCode)
AlertState = Literal["open", "acknowledged", "resolved"]
Note = Annotated[
    str,
    Field(max_length=MAX_NOTE_CHARACTERS, examples=["Charger is being repaired"]),
    AfterValidator(storable),
]


class RaisedAlert(Output):
    """Something amiss with a device, from when it was seen until it was seen no more."""

    alert_id: UUID
    code: RaisedCode
    state: AlertState
    certain: bool
    """Whether what it rests on is complete; the others are told to nobody."""
    why: str | None = Field(None, exclude_if=lambda why: why is None)
    """Why it is not certain."""
    message: str
    stream_type: Literal["meter", "vehicle"]
    device_id: str
    """Whose alert it is; of a session, the vehicle."""
    meter_id: Annotated[str | None, Field(examples=["MTR-001"])]
    vehicle_id: Annotated[str | None, Field(examples=["VH-001"])]
    session_id: UUID | None
    """The session whose figures it is about, if it is about one's."""
    opened_at: datetime
    certain_since: datetime | None
    acknowledged_at: Annotated[datetime | None, Field(examples=[None])]
    acknowledged_by: Annotated[str | None, Field(examples=[None])]
    note: Annotated[str | None, Field(examples=[None])]
    resolved_at: Annotated[datetime | None, Field(examples=[None])]

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Made of a row of `alerts`."""
        state = "acknowledged" if row["acknowledged_at"] else "open"
        known = {"state": "resolved" if row["resolved_at"] else state}
        return cls.model_validate(row | known | {"certain": row["certain_since"] is not None})


class Acknowledgement(Input):
    """That somebody looks after it, and what they have to say."""

    note: Note | None = None


class AlertPage(Query):
    """At most `limit` alerts that match all filters given, the newest first."""

    state: AlertState | None = None
    code: RaisedCode | None = None
    device_id: DeviceId | None = None
    """The device's, or that of the session's meter."""
    certain: bool | None = None
    limit: PageLimit = DEFAULT_PAGE
    after: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | None = None
    """The place of the last one on the page before."""
