"""`positions list|set`: where the group stands, and moving it on purpose.

Setting a position under a live owner is refused: the owner would drop its batch and follow, which
is safe, but seldom meant.
"""

import asyncio
import getpass
import os
import socket
from datetime import UTC
from typing import Any

import psycopg
from aiokafka import TopicPartition
from psycopg.rows import dict_row

from ingest_worker.cluster import live_owned, log_bounds, name_of
from ingest_worker.ledger import LOCK_TIMEOUT_S
from ingest_worker.reconcile import log_ends
from schemas.settings import Settings
from sql.named import load

QUERIES = load("positions")


class Refused(Exception):  # noqa: N818
    """What an operator asked for would do harm or cannot be done; the text says why."""


def operator() -> str:
    """Who runs this command, and where."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def list_positions(settings: Settings) -> None:
    """Print every position with its lag."""
    with psycopg.connect(settings.conninfo("energy-positions"), row_factory=dict_row) as connection:
        rows = connection.execute(QUERIES["list"].encode()).fetchall()
    ends = log_ends(settings, {row["topic"] for row in rows})
    print(f"{'group':<24}{'topic':<24}{'partition':>9} {'position':>12} {'lag':>12}  last moved")
    for row in rows:
        end = ends.get(TopicPartition(row["topic"], row["partition"]))
        lag = "?" if end is None else end - row["next_offset"]
        moved = row["updated_at"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stopped = f"  STOPPED: {row['stopped']}" if row["stopped"] else ""
        print(
            f"{row['group_id']:<24}{row['topic']:<24}{row['partition']:>9}"
            f" {row['next_offset']:>12} {lag:>12}  {moved}{stopped}"
        )


def set_positions(settings: Settings, topic: str, partition: str, to: str, *, force: bool) -> None:
    """Move the group's position of one partition, or of `all` of the topic.

    `to` is earliest, latest or an offset. Raises Refused, KafkaError or psycopg.Error.
    """
    try:
        targets, owned = asyncio.run(_look(settings, topic, partition, to, force=force))
    except TimeoutError:
        raise Refused("the group is still rebalancing: try again, or use --force") from None
    with psycopg.connect(settings.conninfo("energy-positions")) as connection:
        connection.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'")
        for source, offset in sorted(targets.items()):
            _set(connection, settings.kafka_group_id, source, offset, source in owned, force=force)
    for source, offset in sorted(targets.items()):
        print(f"{name_of(source)} now at {offset}")


def _set(
    connection: psycopg.Connection[Any],
    group_id: str,
    source: TopicPartition,
    offset: int,
    owned: bool,
    *,
    force: bool,
) -> None:
    names = {"group_id": group_id, "topic": source.topic, "partition": source.partition}
    found = connection.execute(
        QUERIES["lock"].encode(),
        {"group_id": group_id, "topics": [source.topic], "partitions": [source.partition]},
    ).fetchone()
    stopped = found is not None and found[5] is not None
    if owned and not stopped:
        raise Refused(
            f"a live worker of group {group_id} holds {name_of(source)}; stop it"
            " first (one that was killed counts as live for 10 s), or use --force"
        )
    connection.execute(QUERIES["set"].encode(), {**names, "next_offset": offset})
    change = {
        "from_offset": found[2] if found else None,
        "next_offset": offset,
        "forced": force,
        "changed_by": f"{operator()} pid {os.getpid()}",
    }
    connection.execute(QUERIES["record_change"].encode(), {**names, **change})


async def _look(
    settings: Settings, topic: str, partition: str, to: str, *, force: bool
) -> tuple[dict[TopicPartition, int], set[TopicPartition]]:
    """The wanted offsets by partition, and unless by `force` the partitions with a live owner."""
    bounds = await log_bounds(settings, [topic])
    if not bounds:
        raise Refused(f"there is no topic {topic}")
    targets = {}
    for source, (start, end) in bounds.items():
        if partition in ("all", str(source.partition)):
            offset = {"earliest": start, "latest": end}.get(to)
            targets[source] = int(to) if offset is None else offset
            if not start <= targets[source] <= end:
                raise Refused(f"{name_of(source)} holds offsets {start} to {end}")
    if not targets:
        raise Refused(f"{topic} has no partition {partition}")
    return targets, set() if force else await live_owned(settings)
