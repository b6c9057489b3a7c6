"""The Kafka consumer of a worker: how it joins its group, and how brokers answer its fetches."""

from collections.abc import Iterator, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor

from ingest_worker.loop.group_member import GroupMember
from reporting.applications import Application

SESSION_TIMEOUT_MS = 10_000
HEARTBEAT_INTERVAL_MS = 3_000
MAX_POLL_INTERVAL_MS = 3_600_000
"""An outage of PostgreSQL may hold a batch for long; it must not cost the membership."""
METADATA_MAX_AGE_MS = 15_000
"""Partitions added while running are noticed after this long at most."""
FETCH_WAIT_MS = 100
"""How long a broker gathers records before it answers: few answers when few records come."""
FETCH_MIN_BYTES = 1_000_000
"""A broker that has so much to send answers at once."""


def new_consumer(
    kafka_options: Mapping[str, Any], group_id: str, flush_interval_ms: int
) -> GroupMember:
    """A consumer that is not started yet. Wants a running event loop.

    Brokers gather records for FETCH_WAIT_MS, or for `flush_interval_ms` if that is shorter.
    """
    return GroupMember(
        kafka_options,
        group_id=group_id,
        client_id=Application.WORKER,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        fetch_max_wait_ms=min(FETCH_WAIT_MS, flush_interval_ms),
        fetch_min_bytes=FETCH_MIN_BYTES,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    )


class LeanRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """Hands out fetched records as they were parsed: offset, timestamp and value are all we read.

    aiokafka would wrap each into a ConsumerRecord of eleven fields, which costs more than decoding
    its reading. This reaches into private parts of aiokafka: hence the tight bound on its version.
    """

    def __iter__(self) -> Iterator[Any]:
        records: Iterator[Any] = self._records_iterator
        return records

    def _consumer_record(self, _: TopicPartition, record: Any) -> Any:
        return record


def hand_out_lean_records() -> None:
    """Have every consumer of this process hand out records without wrapping them."""
    fetcher.PartitionRecords = LeanRecords
