"""Readings over HTTP into Kafka, one at a time or in batches; 202 means that Kafka has them all.

A gateway's key may be for some devices alone: readings of others are told apart like invalid ones.
"""

from starlette.requests import Request
from starlette.responses import Response

from api.batches import Accepted, Batch, Opener, RefusedReadingError
from api.http.beside import beside
from api.http.bodies import MAX_INGEST_BYTES
from api.http.callers import caller_of
from api.http.endpoint import allows, answers
from api.http.inputs import read_body
from api.http.responses import JsonResponse
from api.kafka_records import OutgoingRecord, RecordBuilder, partition_of
from api.metrics import Metrics
from api.producer import Producer
from schemas.fields import utc_now
from schemas.keys import Access
from schemas.settings import Settings
from schemas.telemetry import IngestError, IngestResult, RefusedRecord, SentBatch, SentRecord


class Telemetry:
    """The routes below /v1/telemetry/ingest."""

    def __init__(self, settings: Settings, producer: Producer, metrics: Metrics) -> None:
        self._settings = settings
        self._producer = producer
        self._metrics = metrics
        self._opener = Opener(settings)

    @allows(Access.SEND)
    @answers(IngestResult, 202, body=SentRecord, max_body_bytes=MAX_INGEST_BYTES)
    async def ingest(self, request: Request) -> Response:
        """One reading, keyed by its device; 202 once Kafka has it."""
        body = await read_body(request)
        limits = self._settings.clock_limits(utc_now())
        try:
            topic, device_id, raw = await beside(
                len(body), self._opener.reading, body, limits, caller_of(request)
            )
        except RefusedReadingError as refused:
            self._metrics.refused.labels(refused.reason).inc()
            raise refused.answer from None
        partition = partition_of(device_id, await self._producer.partitions(topic))
        await self._producer.deliver([OutgoingRecord(topic, partition, device_id.encode(), raw, 1)])
        return _answer(1, [])

    @allows(Access.SEND)
    @answers(IngestResult, 202, body=SentBatch, max_body_bytes=MAX_INGEST_BYTES)
    async def ingest_batch(self, request: Request) -> Response:
        """Many readings: the valid ones are delivered, the others are named in the answer."""
        body = await read_body(request)
        limits = self._settings.clock_limits(utc_now())
        batch: Batch = await beside(len(body), self._opener.batch, body, limits, caller_of(request))
        for reason, count in batch.reasons().items():
            self._metrics.refused.labels(reason).inc(count)
        if not batch.accepted:
            raise batch.all_bad()
        topics = {reading.topic for reading in batch.accepted}
        partitions = {topic: await self._producer.partitions(topic) for topic in topics}
        records = await beside(len(body), _records, batch.accepted, partitions)
        await self._producer.deliver(records)
        return await beside(len(body), _answer, len(batch.accepted), batch.refused)


def _records(accepted: list[Accepted], partitions: dict[str, list[int]]) -> list[OutgoingRecord]:
    builder = RecordBuilder()
    for topic, device_id, raw in accepted:
        builder.add(topic, partition_of(device_id, partitions[topic]), raw)
    return builder.records()


def _answer(processed: int, refused: list[RefusedRecord]) -> Response:
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
