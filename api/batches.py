"""What a body of telemetry holds: readings for Kafka, and why other records are none.

Envelopes are split without a change to the readings' bytes, and each reading goes through the one
decoder. All of it may run in a thread beside the loop: it is made of many short steps, and what is
said about bad records has a bounded size, however many there are.
"""

import codecs
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import msgspec

from api.http.errors import ApiError, invalid, invalid_field
from api.kafka_records import MAX_RECORD_BYTES
from schemas.errors import MAX_DETAILS, Problem, problem
from schemas.keys import Caller
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.decoder import Decoder
from schemas.streams.rejection import Rejection
from schemas.streams.stream import DEVICE, Row
from schemas.streams.times import ClockLimits
from schemas.telemetry import (
    MAX_BATCH_RECORDS,
    Envelope,
    IngestBatch,
    LooseBatch,
    RefusedRecord,
    batch_problems,
    envelope_problems,
    problems,
    reason_of,
)

FORBIDDEN = "forbidden for this key"
"""What is said of a reading of a device that the caller may not speak for."""
SLICE_BYTES = 256 * 1024
"""Bytes whose encoding is checked in one step."""
MAX_NAMED = 3
"""Bad fields that the message about one record of a batch names."""
MAX_MESSAGE_CHARACTERS = 160
"""Of that message: there may be 10,000 of them in an answer."""
DECODE_ENVELOPE = msgspec.json.Decoder(Envelope).decode
DECODE_BATCH = msgspec.json.Decoder(IngestBatch).decode
DECODE_LOOSE = msgspec.json.Decoder(LooseBatch).decode

Record = TypeVar("Record")


class Accepted(NamedTuple):
    """A valid reading, as its gateway sent it."""

    topic: str
    device_id: str
    raw: bytes


class RefusedReadingError(Exception):
    """The one reading of a request is not valid, for `reason`; `answer` is the error to raise."""

    def __init__(self, reason: str, answer: ApiError) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer


@dataclass
class Batch:
    """A batch taken apart."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    """The bad fields of the first refused records, no fewer than MAX_DETAILS if there are more."""
    explained: int = 0
    """How many refused records `problems` is about."""

    def reasons(self) -> Counter[str]:
        """How many records were refused, by reason."""
        return Counter(record.reason for record in self.refused)

    def all_bad(self) -> ApiError:
        """The error to raise when nothing was accepted."""
        return invalid(self.problems, len(self.refused) - self.explained, "bad records")


class Opener:
    """Takes bodies of telemetry apart."""

    def __init__(self, settings: Settings) -> None:
        self._decoders: dict[str, tuple[str, Decoder]] = {
            stream.name: (topic, Decoder(stream)) for topic, stream in settings.streams.items()
        }

    def reading(self, body: bytes, limits: ClockLimits, caller: Caller) -> Accepted:
        """The one reading of a body. Raises ApiError 400, or RefusedReadingError."""
        _check_utf8(body)
        try:
            envelope = DECODE_ENVELOPE(body)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise invalid(envelope_problems(body, "", reason_of(error))) from None
        found = self._look(envelope, limits, 0, caller)
        if isinstance(found, Rejection):
            bad = _problems(envelope, found, "payload")
            raise RefusedReadingError(found.reason, invalid(bad))
        return found

    def batch(self, body: bytes, limits: ClockLimits, caller: Caller) -> Batch:
        """All records of a body. Raises ApiError 400 when it is no batch."""
        _check_utf8(body)
        batch = Batch()
        for index, record in _records(body):
            prefix = f"records[{index}]"
            try:
                envelope = record if isinstance(record, Envelope) else DECODE_ENVELOPE(record)
            except (msgspec.MsgspecError, RecursionError) as error:
                assert isinstance(record, bytes)
                why, bad = reason_of(error), []
                if len(batch.problems) < MAX_DETAILS:
                    bad = envelope_problems(record, prefix, why)
                message = _sentence(envelope_problems(record, prefix, why, MAX_NAMED))
                _refuse(batch, RefusedRecord(index, "invalid", message), bad)
                continue
            found = self._look(envelope, limits, index, caller)
            if isinstance(found, Accepted):
                batch.accepted.append(found)
                continue
            bad = []
            if len(batch.problems) < MAX_DETAILS:
                bad = _problems(envelope, found, f"{prefix}.payload")
            message = found.detail[:MAX_MESSAGE_CHARACTERS]
            _refuse(batch, RefusedRecord(index, found.reason, message), bad)
        return batch

    def _look(
        self, envelope: Envelope, limits: ClockLimits, index: int, caller: Caller
    ) -> Accepted | Rejection:
        topic, decoder = self._decoders[envelope.streamType]
        raw = bytes(envelope.payload)
        if len(raw) > MAX_RECORD_BYTES - 2:
            return Rejection(index, "invalid", f"larger than {MAX_RECORD_BYTES} bytes", b"null")
        row: Row | Rejection = decoder.decode_piece(raw, limits, index)
        if isinstance(row, Rejection):
            return row
        device_id = str(row[DEVICE])
        if not caller.may_speak_for(device_id):
            return Rejection(index, "invalid", FORBIDDEN, raw, device_id)
        return Accepted(topic, device_id, raw)


def _problems(envelope: Envelope, found: Rejection, prefix: str) -> list[Problem]:
    stream = STREAMS[envelope.streamType]
    if found.detail == FORBIDDEN:
        return [problem(f"{prefix}.{stream.id_field}", FORBIDDEN, found.reason)]
    return problems(stream, found, prefix)


def _refuse(batch: Batch, record: RefusedRecord, bad: list[Problem]) -> None:
    batch.refused.append(record)
    if len(batch.problems) < MAX_DETAILS:
        batch.problems += bad
        batch.explained += 1


def _check_utf8(body: bytes) -> None:
    """Raise ApiError 400 for what is not UTF-8."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    whole = memoryview(body)
    for start in range(0, len(body), SLICE_BYTES):
        piece = whole[start : start + SLICE_BYTES]
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(piece, final=start + SLICE_BYTES >= len(body))
        except UnicodeDecodeError as error:
            raise invalid_field(
                "body", f"not UTF-8: byte {start - pending + error.start}"
            ) from None


def _records(body: bytes) -> Iterator[tuple[int, Envelope | bytes]]:
    """The records of a batch by index: envelopes, or the bytes of each when one is none.

    Raises ApiError 400.
    """
    try:
        yield from enumerate(_not_empty(DECODE_BATCH(body).records))
        return
    except (msgspec.MsgspecError, RecursionError):
        pass  # the body, or a record in it, has the wrong shape: look at each record
    try:
        loose = _not_empty(DECODE_LOOSE(body).pieces())
    except (msgspec.MsgspecError, RecursionError) as error:
        raise invalid(batch_problems(body, reason_of(error))) from None
    yield from enumerate(loose)


def _not_empty(records: list[Record]) -> list[Record]:
    if not records:
        raise invalid_field("records", f"must have 1 to {MAX_BATCH_RECORDS} records")
    return records


def _sentence(found: list[Problem]) -> str:
    """The problems in one line."""
    named = (f"{entry.field}: {entry.message}" if entry.field else entry.message for entry in found)
    return "; ".join(named)[:MAX_MESSAGE_CHARACTERS]
