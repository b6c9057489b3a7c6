"""What a batch may hold, and when it is flushed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from ingest_worker.write.batch import MAX_BATCH_BYTES, Batch
from schemas.settings import Settings
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.times import ClockLimits


@dataclass(frozen=True, kw_only=True)
class BatchRules:
    """The bounds of a batch and what decodes it."""

    decoders: Mapping[str, RecordDecoder]
    """By topic."""
    clock_limits: Callable[[], ClockLimits]
    """The times a reading may carry now."""
    max_readings: int
    max_record_bytes: int
    flush_interval_s: float
    """The longest a reading waits before its flush starts."""

    def new_batch(self) -> Batch:
        """An empty batch."""
        return Batch(
            self.decoders,
            max_readings=self.max_readings,
            max_bytes=MAX_BATCH_BYTES,
            max_record_bytes=self.max_record_bytes,
            limits=self.clock_limits,
        )

    def flush_cause(
        self, batch: Batch, *, age_s: float, writing: bool, records_behind: Callable[[], int]
    ) -> str | None:
        """Why the batch is to be flushed now; None while it is not.

        A batch that is not full waits until the one before it is written. When fewer records wait
        in Kafka than readings are in hand, waiting longer gathers little.
        """
        if batch.full:
            return "full"
        if not batch.parts or writing:
            return None
        if batch.full_of_events:
            return "full"
        if records_behind() <= batch.readings:
            return "caught_up"
        if age_s >= self.flush_interval_s:
            return "interval"
        return None


def batch_rules(settings: Settings) -> BatchRules:
    """The rules that the environment sets."""
    return BatchRules(
        decoders=settings.decoders(),
        clock_limits=lambda: settings.clock_limits(datetime.now(UTC)),
        max_readings=settings.batch_size,
        max_record_bytes=settings.max_record_bytes,
        flush_interval_s=settings.flush_interval_ms / 1000,
    )
