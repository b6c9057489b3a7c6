"""`positions list|set`: the positions of the group, and how an operator moves them.

A position whose partition has a live owner is not set without force: the owner would drop its batch
and read on from the new position, which is safe, but seldom meant.
"""

import asyncio
import os
from typing import Any

import psycopg
from aiokafka import TopicPartition
from psycopg.rows import dict_row

from brokers.groups import live_owned
from brokers.partitions import known_bounds, lag, log_bounds, name_of
from ingest_worker.errors import CommandRefusedError
from ingest_worker.operator import operator
from ingest_worker.write.ledger import LOCK_TIMEOUT_S
from reporting.applications import Application
from reporting.command import print_json
from reporting.tables import partition_line, to_the_second
from schemas.settings import Settings
from sql.connect import connect, conninfo
from sql.named import load

QUERIES = load("positions")


def list_positions(settings: Settings, *, as_json: bool) -> None:
    """Print every position with its lag, and how much of what follows it Kafka has no longer."""
    where = conninfo(settings, Application.POSITIONS)
    with connect(where, row_factory=dict_row) as connection:
        rows = connection.execute(QUERIES["list"]).fetchall()
    bounds = known_bounds(settings, {row["topic"] for row in rows})
    ends = {partition: end for partition, (_, end) in bounds.items()}
    starts = {partition: start for partition, (start, _) in bounds.items()}
    gone = [max(0, lag(starts, row) or 0) for row in rows]
    if as_json:
        print_json(
            [_shown(row, lag(ends, row), lost) for row, lost in zip(rows, gone, strict=True)]
        )
        return
    print(f"{partition_line('group', 'topic', 'partition', ['position', 'lag'])}  last moved")
    for row, lost in zip(rows, gone, strict=True):
        values = [row["next_offset"], lag(ends, row)]
        line = partition_line(row["group_id"], row["topic"], row["partition"], values)
        stopped = f"  STOPPED: {row['stopped']}" if row["stopped"] else ""
        stopped += f"  GONE: {lost} offsets that Kafka has no longer" if lost else ""
        print(f"{line}  {to_the_second(row['updated_at'])}{stopped}")


def _shown(row: dict[str, Any], behind: int | None, lost: int) -> dict[str, Any]:
    return {
        "groupId": row["group_id"],
        "topic": row["topic"],
        "partition": row["partition"],
        "position": row["next_offset"],
        "lag": behind,
        "gone": lost,
        "stopped": row["stopped"],
        "updatedAt": row["updated_at"],
    }


def set_positions(settings: Settings, topic: str, number: str, to: str, *, force: bool) -> None:
    """Move the group's position of one partition, or of `all` of the topic.

    `number` is a partition's, `to` is earliest, latest or an offset. Raises CommandRefusedError,
    KafkaError or psycopg.Error.
    """
    try:
        targets, owned = asyncio.run(_look(settings, topic, number, to, force=force))
    except TimeoutError:
        raise CommandRefusedError(
            "the group is still rebalancing: try again, or use --force"
        ) from None
    where = conninfo(settings, Application.POSITIONS)
    with connect(where, {"lock_timeout": f"{LOCK_TIMEOUT_S}s"}, autocommit=False) as connection:
        for partition, offset in sorted(targets.items()):
            _set(
                connection,
                settings.kafka_group_id,
                partition,
                offset,
                partition in owned,
                force=force,
            )
    for partition, offset in sorted(targets.items()):
        print(f"{name_of(partition)} now at {offset}")


def _set(
    connection: psycopg.Connection[Any],
    group_id: str,
    partition: TopicPartition,
    offset: int,
    owned: bool,
    *,
    force: bool,
) -> None:
    names = {"group_id": group_id, "topic": partition.topic, "partition": partition.partition}
    found = connection.execute(
        QUERIES["lock"],
        {"group_id": group_id, "topics": [partition.topic], "partitions": [partition.partition]},
    ).fetchone()
    stopped = found is not None and found[5] is not None
    if owned and not stopped:
        raise CommandRefusedError(
            f"a live worker of group {group_id} holds {name_of(partition)}; stop it"
            " first (one that was killed counts as live for 10 s), or use --force"
        )
    connection.execute(QUERIES["set"], {**names, "next_offset": offset})
    change = {
        "from_offset": found[2] if found else None,
        "next_offset": offset,
        "forced": force,
        "changed_by": f"{operator()} pid {os.getpid()}",
    }
    connection.execute(QUERIES["record_change"], {**names, **change})


async def _look(
    settings: Settings, topic: str, number: str, to: str, *, force: bool
) -> tuple[dict[TopicPartition, int], set[TopicPartition]]:
    """The wanted offset of each partition, and those with a live owner: none by `force`."""
    bounds = await log_bounds(settings, [topic])
    if not bounds:
        raise CommandRefusedError(f"there is no topic {topic}")
    targets = {}
    for partition, (start, end) in bounds.items():
        if number in ("all", str(partition.partition)):
            offset = {"earliest": start, "latest": end}.get(to)
            targets[partition] = int(to) if offset is None else offset
            if not start <= targets[partition] <= end:
                raise CommandRefusedError(f"{name_of(partition)} holds offsets {start} to {end}")
    if not targets:
        raise CommandRefusedError(f"{topic} has no partition {number}")
    return targets, set() if force else await live_owned(settings)
