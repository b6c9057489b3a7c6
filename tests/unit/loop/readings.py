"""Readings of three streams for the loop's tests, and the rules of their batches."""

import json
from datetime import UTC, datetime

from aiokafka import TopicPartition

from ingest_worker.loop.batching import BatchRules
from schemas.session_events import EventDecoder
from schemas.streams import METER, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.stream import Field, Stream
from schemas.streams.times import DAY_US, clock_limits, to_micros

NOW = datetime(2026, 2, 1, tzinfo=UTC)
TIME = "2026-01-31T12:00:00Z"
CHARGER = Stream(
    name="charger",
    plural="chargers",
    id_field="chargerId",
    id_column="charger_id",
    id_example="CH-1",
    fields=(Field(name="amps", column="amps", type="float8", unit="A", minimum=0, example=16.0),),
)
"""A stream that the project does not have."""
METERS, VEHICLES, CHARGERS, SESSIONS = (TopicPartition(name, 0) for name in "mvcs")
MORE_METERS = TopicPartition("m", 1)
DECODERS: dict[str, RecordDecoder] = {
    "m": Decoder(METER),
    "v": Decoder(VEHICLE),
    "c": Decoder(CHARGER),
    "s": EventDecoder(),
}
METER_READING = json.dumps(
    {"meterId": "A", "kwhConsumedAc": 1, "voltage": 2, "timestamp": TIME}
).encode()
LATE_READING = METER_READING.replace(b"2026-01-31", b"2025-06-05")
LATE_DAY = to_micros(datetime(2025, 6, 5, tzinfo=UTC)) // DAY_US


def rules(*, max_readings: int = 1_000, flush_interval_s: float = 60.0) -> BatchRules:
    """Rules of batches that hold readings of `TIME`."""
    return BatchRules(
        decoders=DECODERS,
        clock_limits=lambda: clock_limits(
            NOW, max_age_days=730, retention_days=0, max_skew_seconds=0
        ),
        max_record_bytes=10**6,
        max_readings=max_readings,
        flush_interval_s=flush_interval_s,
    )
