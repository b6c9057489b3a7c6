"""Telemetry over HTTP: the envelopes that readings come in, and the answers about them.

The readings themselves are decoded by `schemas.streams.decoder`, as everywhere; here msgspec leaves
their bytes as they are. `problems` decodes a rejected one again, field by field, to name every bad
field.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import msgspec

from schemas.errors import MAX_DETAILS, Problem, capped, problem
from schemas.fields import Output
from schemas.streams import STREAMS
from schemas.streams.rejection import Rejection
from schemas.streams.stream import TIMESTAMP, Stream
from schemas.streams.times import parse_timestamp
from schemas.text import check_id, one_line

MAX_BATCH_RECORDS = 10_000
MAX_LOOKED_AT_BYTES = 32 * 1024
"""Of what is wrong around a reading, up to this size all is named; beyond it, the first thing."""
MAX_WHY_CHARACTERS = 500
_MISNAMED = re.compile(r"Object (contains unknown|missing required) field `(.*?)`(?: - at|$)")
_TOO_MANY = "Expected `array` of at most length"
_PLACED = re.compile(r"(.*) - at `\$\.(\w+)")
_STREAM_TYPES = {f'"{name}"'.encode() for name in STREAMS}

if TYPE_CHECKING:
    StreamType = str
else:
    StreamType = Literal[tuple(STREAMS)]


class Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One reading as sent over HTTP: which stream, and the reading's own bytes."""

    streamType: StreamType  # noqa: N815
    payload: msgspec.Raw


class IngestBatch(msgspec.Struct, forbid_unknown_fields=True):
    """A batch whose records all have the right shape, the usual case."""

    records: Annotated[list[Envelope], msgspec.Meta(max_length=MAX_BATCH_RECORDS)]


if TYPE_CHECKING:
    LooseRecords = Any
else:
    LooseRecords = msgspec.defstruct(
        "LooseRecords",
        [(f"record_{index}", msgspec.Raw, None) for index in range(MAX_BATCH_RECORDS)],
        module=__name__,
        array_like=True,
        forbid_unknown_fields=True,
        gc=False,
    )
"""An array of at most MAX_BATCH_RECORDS, each left as bytes. Of a longer one nothing is made beyond
them, while msgspec makes the whole of a list before it looks at its length."""


class LooseBatch(msgspec.Struct, forbid_unknown_fields=True):
    """A batch with each record left as bytes, to find those with the wrong shape."""

    records: LooseRecords

    def pieces(self) -> list[bytes]:
        """The records' bytes."""
        given = takewhile(bool, msgspec.structs.astuple(self.records))
        return [bytes(record) for record in given]


SENT_RECORDS = tuple(
    msgspec.defstruct(
        f"{stream.name.capitalize()}Record",
        [("payload", stream.reading)],
        module=__name__,
        tag_field="streamType",
        tag=stream.name,
        forbid_unknown_fields=True,
    )
    for stream in STREAMS.values()
)
SentRecord: Any = Union[SENT_RECORDS]  # noqa: UP007 the members are known at run time only
"""The model that /openapi.json shows for an Envelope, with its payload."""

_SENT_RECORDS = Annotated[
    list[SentRecord], msgspec.Meta(min_length=1, max_length=MAX_BATCH_RECORDS)
]
SentBatch = msgspec.defstruct(
    "SentBatch", [("records", _SENT_RECORDS)], module=__name__, forbid_unknown_fields=True
)
"""The model that /openapi.json shows for an IngestBatch."""


class IngestError(Output):
    """Why one record of a batch was not taken; `index` is its place, from 0."""

    index: int
    reason: str
    message: str


class IngestResult(Output):
    """What became of an ingest request: `processed` readings are in Kafka for good."""

    success: bool
    processed: int
    failed: int
    timestamp: datetime
    errors: list[IngestError]


class RejectedCount(Output):
    """Rejected readings that nobody has resolved yet."""

    total: int
    by_reason: dict[str, int]


class TopicStats(Output):
    """One topic's books; `lag` in records, null while Kafka cannot be reached."""

    topic: str
    read: int
    stored: int
    duplicate: int
    rejected: RejectedCount
    lag: int | None


class Stats(Output):
    """The books of the consumer group, per topic."""

    group_id: str
    timestamp: datetime
    topics: list[TopicStats]


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """Why one record of a batch was not taken."""

    index: int
    """Its place in the batch, from 0."""
    reason: str
    message: str


def envelope_problems(raw: bytes, prefix: str, why: str, most: int = MAX_DETAILS) -> list[Problem]:
    """One entry for each bad field around a reading, at most `most`, their paths below `prefix`.

    `why` is what the decoder found, which has to do where there is too much to look at.
    """
    fields = _fields(raw)
    if fields is None:
        return _below(prefix, _found(why), most)
    bad = _misnamed(fields, ("streamType", "payload"))
    names = " or ".join(STREAMS)
    if "streamType" in fields and bytes(fields["streamType"]) not in _STREAM_TYPES:
        bad["streamType"] = f"must be {names}"
    # No value is bad: so a name comes more than once, and its last value hides a bad one.
    return _below(prefix, bad or {"streamType": f"each of them must be {names}"}, most)


def reason_of(error: Exception) -> str:
    """What the decoder found, in one line of a bounded length: it may quote the client."""
    return one_line(str(error)[:MAX_WHY_CHARACTERS])


def batch_problems(raw: bytes, why: str) -> list[Problem]:
    """One entry for each bad field around a batch's records; `why` is what the decoder found."""
    if why.startswith(_TOO_MANY):
        return _below("", {"records": f"must have 1 to {MAX_BATCH_RECORDS} records"})
    fields = _fields(raw)
    if fields is None:
        return _below("", _found(why))
    return _below("", _misnamed(fields, ("records",)) or {"records": why})


def _fields(raw: bytes) -> dict[str, msgspec.Raw] | None:
    """An object's values as bytes; None when it is no object, or too large to look at each."""
    if len(raw) > MAX_LOOKED_AT_BYTES:
        return None
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):
        return None


def _found(why: str) -> dict[str, str]:
    """What the decoder found, by the field that it names; an empty name stands for the whole."""
    if misnamed := _MISNAMED.search(why):
        return {misnamed[2]: "missing" if misnamed[1] == "missing required" else "unknown field"}
    if placed := _PLACED.search(why):
        return {placed[2]: placed[1]}
    return {"": why}


def _misnamed(fields: Mapping[str, object], known: Sequence[str]) -> dict[str, str]:
    bad = {name: "unknown field" for name in fields if name not in known}
    return bad | {name: "missing" for name in known if name not in fields}


def _below(prefix: str, bad: Mapping[str, str], most: int = MAX_DETAILS) -> list[Problem]:
    """An entry for each bad field, below `prefix`; an empty name stands for the whole."""
    first = islice(bad.items(), most)
    shown = [
        problem(".".join(part for part in (prefix, name) if part) or "body", message, "invalid")
        for name, message in first
    ]
    return capped(shown, len(bad) - len(shown))


def problems(stream: Stream, rejection: Rejection, prefix: str) -> list[Problem]:
    """One entry for each bad field of a rejected reading, its paths below `prefix`."""
    found: list[Problem] = []
    if rejection.reason == "invalid":
        found = [
            problem(f"{prefix}.{name}", message, "invalid")
            for name, message in _bad_fields(stream, rejection.raw)
        ]
    elif rejection.reason in ("too_old", "in_future"):
        prefix = f"{prefix}.timestamp"
    return found or [problem(prefix, rejection.detail, rejection.reason)]


def _bad_fields(stream: Stream, raw: bytes) -> list[tuple[str, str]]:
    try:
        value = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return []
    if not isinstance(value, dict):
        return []
    bad = []
    for field in msgspec.structs.fields(stream.reading):
        if field.encode_name not in value:
            if field.required:
                bad.append((field.encode_name, "missing"))
            continue
        try:
            _check_field(stream, field, value[field.encode_name])
        except (ValueError, TypeError) as error:
            bad.append((field.encode_name, one_line(error)))
    return bad


def _check_field(stream: Stream, field: msgspec.structs.FieldInfo, value: Any) -> None:
    msgspec.convert(value, field.type)
    if field.encode_name == stream.id_field:
        check_id(value)
    elif field.encode_name == TIMESTAMP:
        parse_timestamp(value)
