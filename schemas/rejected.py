"""Rejected readings as the HTTP API gives them, and their bytes in a form that is safe to show."""

from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field

from schemas.fields import DEFAULT_PAGE, DeviceId, Output, PageLimit, Query, Text, TimesQuery
from schemas.streams.rejection import REPAIRED
from schemas.telemetry import StreamType
from schemas.text import printable

MAX_ID = 2**63 - 1

Reason = Literal["malformed", "invalid", "too_old", "in_future", "conflict", "refused", "repaired"]
Outcome = Literal["stored", "duplicate"]
RejectedId = Annotated[int, Field(ge=1, le=MAX_ID)]
REASONS: tuple[str, ...] = get_args(Reason)
COUNTED_REASONS = tuple(reason for reason in REASONS if reason != REPAIRED)
"""Of readings that count as rejected: what was repaired is stored."""


class RejectedFilter(TimesQuery):
    """Rejected readings, newest first; those rejected in `[startTime, endTime)`."""

    reason: Reason | None = None
    topic: Text | None = None
    device_id: DeviceId | None = None
    resolved: bool | None = None
    """True: only those that are stored by now; false: only the others."""
    limit: PageLimit = DEFAULT_PAGE
    after: RejectedId | None = None
    """The last id of the page before."""


class RejectedGroupFilter(Query):
    """Groups of rejected readings, those with the newest reading first."""

    topic: Text | None = None
    device_id: DeviceId | None = None
    reason: Reason | None = None
    resolved: bool | None = None
    """True: count only those that are stored by now; false: only the others."""
    limit: PageLimit = DEFAULT_PAGE
    after: RejectedId | None = None
    """The last `latestId` of the page before."""


class RejectedGroup(Output):
    """The rejected readings of one topic and device that have the same reason."""

    topic: str
    stream: StreamType | None
    """Which kind of device they are of; null where the topic is none of its readings."""
    device_id: str | None
    """Null where none can be read."""
    reason: Reason
    count: int
    first_at: datetime
    """When the first of them was rejected."""
    last_at: datetime
    latest_id: int
    """The id of the newest one."""
    replayable: bool
    """Whether a replay may help one of them. It never does where another reading is stored at that
    time (`conflict`), where there is nothing to read (`malformed`), where it is stored without what
    was wrong (`repaired`), or where the topic is none of this deployment's; nor as long as their
    times lie too far back or ahead."""


class Rejected(Output):
    """A reading that was not stored as it came, where it came from, and why."""

    id: int
    topic: str
    partition: int
    offset: int
    record_index: int | None
    """Its place in the record; null when the record could not be split."""
    device_id: str | None
    reading_at: datetime | None
    """The reading's own time, where it can be read."""
    reason: Reason
    detail: str
    raw_bytes: int | None
    """Size of the reading's bytes, of which only the first may be kept; null when none were. Kafka
    has them at that offset."""
    rejected_at: datetime
    resolved_at: datetime | None
    resolved_by: str | None
    changed: str | None
    """How it differs from what is stored, such as `drop soc`; null when it is stored as it came."""
    outcome: Outcome | None


class RejectedDetail(Rejected):
    """A rejected reading with its bytes."""

    raw: str | None
    """The first bytes as text; all but plain characters are escaped, as in `\\n` and `\\xff`."""
    raw_truncated: bool | None
    """Whether `raw` and `rawBase64` lack bytes; .../raw has all that were kept."""
    raw_escaped: bool | None
    """Whether something in `raw` is escaped; then only `rawBase64` is exact."""
    raw_base64: Annotated[str | None, Field(json_schema_extra={"contentEncoding": "base64"})]

    @classmethod
    def of_row(cls, row: dict[str, Any]) -> Self:
        """Made of a row of `rejected_records`, whose `raw` may be the first bytes alone."""
        raw: bytes | None = row["raw"]
        if raw is None:
            none = ("raw_bytes", "raw_truncated", "raw_escaped", "raw_base64")
            return cls.model_validate(row | dict.fromkeys(none))
        text, size = printable(raw), row["raw_bytes"] or len(raw)
        shown = {
            "raw": text,
            "raw_bytes": size,
            "raw_truncated": size > len(raw),
            "raw_escaped": text.encode() != raw,
            "raw_base64": b64encode(raw).decode(),
        }
        return cls.model_validate(row | shown)


class Replay(Output):
    """What became of a rejected reading when it was replayed, now or earlier."""

    outcome: Outcome
    record: Rejected
