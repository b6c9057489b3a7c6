"""What the loop relies on a consumer for: one list of promises, for aiokafka's and for the fake.

Each promise is a coroutine that is given fresh logs and fails where the promise is broken.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

WITHIN_S = 30.0
FETCH_MS = 200


class Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Keeps what a consumer says of its rebalances."""

    def __init__(self) -> None:
        self.revoked: list[set[TopicPartition]] = []
        self.assigned: list[set[TopicPartition]] = []

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.revoked.append(set(revoked))

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned.append(set(assigned))


class Logs(Protocol):
    """The partitions of one topic of the test's own, all empty."""

    partitions: list[TopicPartition]

    async def append(self, partition: TopicPartition, *values: bytes | None) -> None:
        """Add a record for each value."""

    async def append_transaction(
        self, partition: TopicPartition, *values: bytes, committed: bool
    ) -> None:
        """Add a transaction of these records, which ends in a marker without a record."""

    async def delete_before(self, partition: TopicPartition, offset: int) -> None:
        """Have the log start at this offset."""

    def member(self, listener: Rebalances | None = None) -> AbstractAsyncContextManager[Any]:
        """A consumer that is the only member of its group, assigned all partitions."""


Promise = Callable[[Logs], Coroutine[Any, Any, None]]
PROMISES: list[Promise] = []


def promise(check: Promise) -> Promise:
    """Add a promise to the contract."""
    PROMISES.append(check)
    return check


async def read(
    consumer: Any, count: int, *partitions: TopicPartition, max_records: int = 100
) -> dict[TopicPartition, list[Any]]:
    """Fetch until so many records have come; fails when they do not."""
    records: dict[TopicPartition, list[Any]] = {}
    async with asyncio.timeout(WITHIN_S):
        while sum(map(len, records.values())) < count:
            fetched = await consumer.getmany(
                *partitions, timeout_ms=FETCH_MS, max_records=max_records
            )
            assert sum(map(len, fetched.values())) <= max_records
            for partition, more in fetched.items():
                assert more, "an empty list of records"
                records.setdefault(partition, []).extend(more)
    return records


def offsets(records: Mapping[TopicPartition, list[Any]]) -> dict[TopicPartition, list[int]]:
    """The offsets of fetched records."""
    return {partition: [record.offset for record in each] for partition, each in records.items()}


async def raises(consumer: Any, error: type[Exception], partition: TopicPartition) -> None:
    """Fetch until the error comes; fails when records come instead, or nothing does."""
    try:
        async with asyncio.timeout(WITHIN_S):
            while True:
                assert not await consumer.getmany(partition, timeout_ms=FETCH_MS, max_records=100)
    except error:
        return


@promise
async def the_only_member_is_assigned_every_partition(logs: Logs) -> None:
    rebalances = Rebalances()
    async with logs.member(rebalances) as consumer:
        assert set(consumer.assignment()) == set(logs.partitions)
        assert rebalances.assigned[-1] == set(logs.partitions)
        assert len(rebalances.revoked) == len(rebalances.assigned)
        assert {partition.topic for partition in logs.partitions} <= set(await consumer.topics())


@promise
async def records_come_in_the_order_of_their_offsets(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    await logs.append(a, b"0", None, b"2")
    await logs.append(b, b"0")
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        consumer.seek(b, 0)
        records = await read(consumer, 4, a, b)
        assert offsets(records) == {a: [0, 1, 2], b: [0]}
        assert [record.value or b"" for record in records[a]] == [b"0", b"", b"2"]
        assert all(type(record.timestamp) is int for record in records[a])


@promise
async def fetching_begins_where_it_was_sought(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, *[b"x"] * 5)
    async with logs.member() as consumer:
        consumer.seek(a, 3)
        assert offsets(await read(consumer, 2, a)) == {a: [3, 4]}


@promise
async def a_seek_overrides_the_position_and_what_was_buffered(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, *[b"x"] * 5)
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        assert offsets(await read(consumer, 2, a, max_records=2)) == {a: [0, 1]}
        consumer.seek(a, 4)
        consumer.seek(a, 1)
        assert await consumer.position(a) == 1
        assert offsets(await read(consumer, 4, a)) == {a: [1, 2, 3, 4]}


@promise
async def max_records_bounds_a_fetch_of_all_partitions(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    await logs.append(a, *[b"x"] * 5)
    await logs.append(b, *[b"x"] * 5)
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        consumer.seek(b, 0)
        records = await read(consumer, 10, a, b, max_records=3)
        assert offsets(records) == {a: list(range(5)), b: list(range(5))}


@promise
async def the_position_follows_the_records_that_were_handed_out(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, *[b"x"] * 5)
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        assert await consumer.position(a) == 0
        for position in (2, 4, 5):
            await read(consumer, 1, a, max_records=2)
            assert await consumer.position(a) == position


@promise
async def only_the_partitions_that_were_asked_for_are_fetched(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    await logs.append(a, b"x")
    await logs.append(b, b"x", b"x")
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        consumer.seek(b, 0)
        assert offsets(await read(consumer, 1, a)) == {a: [0]}
        assert await consumer.getmany(a, timeout_ms=FETCH_MS, max_records=100) == {}
        assert offsets(await read(consumer, 2, b)) == {b: [0, 1]}


@promise
async def a_paused_partition_gives_nothing_until_it_is_resumed(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    await logs.append(a, *[b"x"] * 3)
    await logs.append(b, b"x")
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        assert offsets(await read(consumer, 1, a, max_records=1)) == {a: [0]}
        consumer.pause(a)
        consumer.pause(a)
        consumer.seek(b, 0)
        assert offsets(await read(consumer, 1, a, b)) == {b: [0]}
        assert await consumer.getmany(a, b, timeout_ms=FETCH_MS, max_records=100) == {}
        assert await consumer.position(a) == 1
        consumer.resume(a)
        consumer.resume(a)
        assert offsets(await read(consumer, 2, a, b)) == {a: [1, 2]}


@promise
async def at_the_end_of_a_log_a_fetch_is_empty_until_it_grows(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, b"x", b"x")
    async with logs.member() as consumer:
        consumer.seek(a, 2)
        assert await consumer.getmany(a, timeout_ms=FETCH_MS, max_records=100) == {}
        await logs.append(a, b"x")
        assert offsets(await read(consumer, 1, a)) == {a: [2]}


@promise
async def a_fetch_beyond_the_end_of_a_log_fails(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, b"x")
    async with logs.member() as consumer:
        consumer.seek(a, 5)
        await raises(consumer, OffsetOutOfRangeError, a)


@promise
async def a_fetch_before_the_start_of_a_log_fails(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, *[b"x"] * 4)
    await logs.delete_before(a, 2)
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        await raises(consumer, OffsetOutOfRangeError, a)
        consumer.seek(a, 2)
        assert offsets(await read(consumer, 2, a)) == {a: [2, 3]}


@promise
async def a_partition_that_was_not_sought_cannot_be_fetched(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, b"x")
    async with logs.member() as consumer:
        await raises(consumer, NoOffsetForPartitionError, a)
        consumer.seek(a, 0)
        assert offsets(await read(consumer, 1, a)) == {a: [0]}


@promise
async def a_partition_that_is_not_assigned_cannot_be_sought(logs: Logs) -> None:
    elsewhere = TopicPartition("no-such-topic", 0)
    async with logs.member() as consumer:
        with pytest.raises(IllegalStateError):
            consumer.seek(elsewhere, 0)
        with pytest.raises(IllegalStateError):
            await consumer.position(elsewhere)


@promise
async def the_bounds_of_logs_are_known_without_fetching(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    await logs.append(a, *[b"x"] * 4)
    await logs.delete_before(a, 3)
    async with logs.member() as consumer:
        assert await consumer.beginning_offsets([a, b]) == {a: 3, b: 0}
        assert await consumer.end_offsets([a, b]) == {a: 4, b: 0}


@promise
async def the_high_water_is_known_once_something_was_fetched(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, *[b"x"] * 4)
    async with logs.member() as consumer:
        assert consumer.highwater(a) is None
        consumer.seek(a, 0)
        await read(consumer, 1, a, max_records=1)
        assert consumer.highwater(a) == 4


@promise
async def the_position_passes_the_marker_that_ends_a_transaction(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append_transaction(a, b"x", b"x", committed=True)
    async with logs.member() as consumer:
        assert await consumer.end_offsets([a]) == {a: 3}
        consumer.seek(a, 0)
        assert offsets(await read(consumer, 2, a)) == {a: [0, 1]}
        assert await consumer.position(a) == 3


@promise
async def records_of_an_aborted_transaction_are_passed_over(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append_transaction(a, b"x", b"x", committed=False)
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        async with asyncio.timeout(WITHIN_S):
            while await consumer.position(a) < 3:
                assert not await consumer.getmany(a, timeout_ms=FETCH_MS, max_records=100)
        await logs.append(a, b"x")
        consumer.seek(a, 0)
        assert offsets(await read(consumer, 1, a)) == {a: [3]}


@promise
async def what_the_group_commits_moves_no_position(logs: Logs) -> None:
    a = logs.partitions[0]
    await logs.append(a, b"x", b"x")
    async with logs.member() as consumer:
        consumer.seek(a, 0)
        await consumer.commit({a: 2})
        assert await consumer.position(a) == 0
        assert offsets(await read(consumer, 2, a)) == {a: [0, 1]}


@promise
async def what_the_group_commits_can_be_asked_for_with_its_metadata(logs: Logs) -> None:
    a, b = logs.partitions[:2]
    async with logs.member() as consumer:
        assert await consumer.group_offsets([a, b]) == {}
        await consumer.commit({a: OffsetAndMetadata(2, "ours")})
        assert await consumer.group_offsets([a, b]) == {a: OffsetAndMetadata(2, "ours")}
        await consumer.commit({a: OffsetAndMetadata(3, "")})
        assert await consumer.group_offsets([a]) == {a: OffsetAndMetadata(3, "")}


@promise
async def a_member_knows_its_topic_and_is_kept_out_by_nobody(logs: Logs) -> None:
    async with logs.member() as consumer:
        topic = logs.partitions[0].topic
        assert consumer.connected
        assert consumer.coordination_error() is None
        assert await consumer.why_not_connected() is None
        assert consumer.partitions_for_topic(topic) == {p.partition for p in logs.partitions}
        assert not consumer.partitions_for_topic("no-such-topic")


@promise
async def an_answer_without_records_is_noticed(logs: Logs) -> None:
    a = logs.partitions[0]
    async with logs.member() as consumer:
        assert consumer.last_poll_timestamp(a) is None
        consumer.seek(a, 0)
        async with asyncio.timeout(WITHIN_S):
            while (first := consumer.last_poll_timestamp(a)) is None:
                assert not await consumer.getmany(a, timeout_ms=FETCH_MS, max_records=100)
            while consumer.last_poll_timestamp(a) == first:
                assert not await consumer.getmany(a, timeout_ms=FETCH_MS, max_records=100)
