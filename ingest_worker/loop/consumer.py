"""The Kafka consumer of a worker: how it joins its group, and how brokers answer its fetches."""

from collections.abc import Mapping
from typing import Any

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
FETCH_MAX_BYTES = 16 * 1024 * 1024
"""The most a broker answers with, of all partitions, packed: it waits in memory."""


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
        fetch_max_bytes=FETCH_MAX_BYTES,
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
    )
