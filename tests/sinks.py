"""The sink of a worker in the test's own process, and batches for it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import TopicPartition

from ingest_worker.connections import Connections
from ingest_worker.write.batch import Batch, Part
from ingest_worker.write.ledger import Ledger
from ingest_worker.write.newest_known import NewestKnown
from ingest_worker.write.quarantine import Quarantine
from ingest_worker.write.sink import Sink
from reporting.applications import Application
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.times import ClockLimits, clock_limits
from sql.connect import conninfo
from tests.settings import settings_of

NOW = datetime(2026, 2, 1, tzinfo=UTC)
METERS = TopicPartition("meters", 0)
VEHICLES = TopicPartition("vehicles", 1)


@dataclass
class Record:
    """What a batch wants of a Kafka record."""

    offset: int
    value: bytes | None
    timestamp: int = 1_700_000_000_000


MAX_RECORD_BYTES = 1_000_000


def new_sink(
    environment: dict[str, str],
    max_quarantine_bytes: int = 10**9,
    rejected_raw_bytes: int = 10**6,
) -> Sink:
    """A sink with a memory of its own; the caller closes it."""
    newest_known = {name: NewestKnown() for name in STREAMS}
    quarantine = Quarantine(
        "group", max_bytes=max_quarantine_bytes, max_raw_bytes=rejected_raw_bytes
    )
    ledger = Ledger("group", quarantine)
    database = conninfo(settings_of(environment), Application.WORKER)
    return Sink(Connections(), database, ledger, newest_known)


@contextmanager
def open_sink(environment: dict[str, str], *partitions: TopicPartition) -> Iterator[Sink]:
    """A sink that has taken these partitions from their beginning."""
    sink = new_sink(environment)
    sink.take(dict.fromkeys(partitions, 0))
    yield sink
    sink.close()


def limits() -> ClockLimits:
    """The clock limits of someone who reads at NOW."""
    return clock_limits(NOW, max_age_days=730, retention_days=0, max_skew_seconds=0)


def new_batch(*, salvage: bool = False, clock: Callable[[], ClockLimits] = limits) -> Batch:
    """An empty batch of both streams, with room for all that tests put in."""
    topics = {"meters": METER, "vehicles": VEHICLE}
    return Batch(
        {
            topic: Decoder(stream, salvage=stream.expendable if salvage else ())
            for topic, stream in topics.items()
        },
        max_readings=10**6,
        max_bytes=10**9,
        max_record_bytes=MAX_RECORD_BYTES,
        limits=clock,
    )


def parts(
    *values: bytes,
    start: int = 0,
    source: TopicPartition = METERS,
    salvage: bool = False,
    clock: Callable[[], ClockLimits] = limits,
) -> list[Part]:
    """One part: each value a record, from `start` on."""
    batch = new_batch(salvage=salvage, clock=clock)
    batch.add(source, start, [Record(start + n, value) for n, value in enumerate(values)])
    return list(batch.parts.values())
