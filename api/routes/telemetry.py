"""Readings over HTTP into Kafka, one at a time or in batches.

The path of a batch: envelopes are split without a change to the readings' bytes, each reading goes
through the one decoder, arrays are made of the valid ones, and 202 means that Kafka has them all.
"""

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.http.endpoint import answers
from api.http.errors import invalid, invalid_field
from api.http.inputs import read_body
from api.http.responses import JsonResponse
from api.kafka_records import MAX_RECORD_BYTES, OutgoingRecord, RecordBuilder, partition_of
from api.metrics import Metrics
from api.producer import Producer
from schemas.errors import Problem
from schemas.fields import utc_now
from schemas.settings import Settings
from schemas.streams import STREAMS
from schemas.streams.decoder import Rejection
from schemas.streams.times import ClockLimits
from schemas.telemetry import (
    MAX_BATCH_RECORDS,
    Envelope,
    IngestBatch,
    IngestError,
    IngestResult,
    LooseBatch,
    RefusedRecord,
    SentBatch,
    SentRecord,
    batch_problems,
    envelope_problems,
    problems,
)

DECODE_ENVELOPE = msgspec.json.Decoder(Envelope).decode
DECODE_BATCH = msgspec.json.Decoder(IngestBatch).decode
DECODE_LOOSE = msgspec.json.Decoder(LooseBatch).decode

Record = TypeVar("Record")


class Telemetry:
    """The routes below /v1/telemetry/ingest."""

    def __init__(self, settings: Settings, producer: Producer, metrics: Metrics) -> None:
        self._settings = settings
        self._producer = producer
        self._metrics = metrics
        self._decoders = settings.decoders()
        self._topics = {stream.name: topic for topic, stream in settings.streams.items()}

    @answers(IngestResult, 202, body=SentRecord)
    async def ingest(self, request: Request) -> Response:
        """One reading, keyed by its device; 202 once Kafka has it."""
        body = _utf8(await read_body(request))
        try:
            envelope = DECODE_ENVELOPE(body)
        except (msgspec.MsgspecError, RecursionError):
            raise invalid(envelope_problems(body, "")) from None
        raw = bytes(envelope.payload)
        topic = self._topics[envelope.streamType]
        row = self._decode(topic, raw, self._settings.clock_limits(utc_now()), 0)
        if isinstance(row, Rejection):
            self._metrics.refused.labels(row.reason).inc()
            raise invalid(problems(STREAMS[envelope.streamType], row, "payload"))
        device_id = row[-1]
        partition = partition_of(device_id, await self._producer.partitions(topic))
        await self._producer.deliver([OutgoingRecord(topic, partition, device_id.encode(), raw, 1)])
        return _accepted(1, [])

    @answers(IngestResult, 202, body=SentBatch)
    async def ingest_batch(self, request: Request) -> Response:
        """Many readings: the valid ones are delivered, the others are named in the answer."""
        limits = self._settings.clock_limits(utc_now())
        builder, accepted = RecordBuilder(), 0
        refused: list[RefusedRecord] = []
        partitions: dict[str, list[int]] = {}
        for index, envelope in _envelopes(_utf8(await read_body(request))):
            if isinstance(envelope, RefusedRecord):
                refused.append(envelope)
                continue
            raw = bytes(envelope.payload)
            topic = self._topics[envelope.streamType]
            row = self._decode(topic, raw, limits, index)
            if isinstance(row, Rejection):
                stream = STREAMS[envelope.streamType]
                found = problems(stream, row, f"records[{index}].payload")
                refused.append(RefusedRecord(index, row.reason, row.detail, found))
                continue
            if topic not in partitions:
                partitions[topic] = await self._producer.partitions(topic)
            builder.add(topic, partition_of(row[-1], partitions[topic]), raw)
            accepted += 1
        for record in refused:
            self._metrics.refused.labels(record.reason).inc()
        if not accepted:
            raise invalid([problem for record in refused for problem in record.problems])
        await self._producer.deliver(builder.records())
        return _accepted(accepted, refused)

    def _decode(
        self, topic: str, raw: bytes, limits: ClockLimits, index: int
    ) -> tuple[Any, ...] | Rejection:
        if len(raw) > MAX_RECORD_BYTES - 2:
            return Rejection(index, "invalid", f"larger than {MAX_RECORD_BYTES} bytes", b"null")
        return self._decoders[topic].decode_piece(raw, limits, index)


def _utf8(body: bytes) -> bytes:
    try:
        if not body.isascii():
            body.decode()
    except UnicodeDecodeError as error:
        raise invalid_field("body", f"not UTF-8: byte {error.start}") from None
    return body


def _envelopes(body: bytes) -> Iterator[tuple[int, Envelope | RefusedRecord]]:
    """The records of a batch by index; one of the wrong shape as refused. Raises ApiError 400."""
    try:
        yield from enumerate(_not_empty(DECODE_BATCH(body).records))
        return
    except (msgspec.MsgspecError, RecursionError):
        pass  # the body, or a record in it, has the wrong shape: look at each record
    try:
        loose = _not_empty(DECODE_LOOSE(body).records)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise invalid(batch_problems(body, str(error))) from None
    for index, raw in enumerate(loose):
        try:
            yield index, DECODE_ENVELOPE(raw)
        except (msgspec.MsgspecError, RecursionError):
            found = envelope_problems(bytes(raw), f"records[{index}]")
            yield index, RefusedRecord(index, "invalid", _sentence(found), found)


def _not_empty(records: list[Record]) -> list[Record]:
    if not records:
        raise invalid_field("records", f"must have 1 to {MAX_BATCH_RECORDS} records")
    return records


def _sentence(found: list[Problem]) -> str:
    return "; ".join(f"{problem.field}: {problem.message}" for problem in found)


def _accepted(processed: int, refused: list[RefusedRecord]) -> Response:
    errors = [
        IngestError(index=record.index, reason=record.reason, message=record.message)
        for record in refused
    ]
    result = IngestResult(
        success=not errors,
        processed=processed,
        failed=len(errors),
        timestamp=utc_now(),
        errors=errors,
    )
    return JsonResponse(result, 202)
