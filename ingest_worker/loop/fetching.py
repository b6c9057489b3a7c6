"""Fetching from many partitions so that one that fails holds up no others.

A fetch that fails (a corrupt batch on a broker's disk, a missing permission) is tried again and
again, ever more seldom: another replica or an operator may repair it, and nothing is skipped.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from ingest_worker.records.allowance import FETCH_BYTES
from ingest_worker.write.batch import Record

MAX_RECORDS_A_FETCH = 2_000
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
EMPTY_FETCH_PAUSE_S = 0.05
"""The pause after partitions were asked one by one and none had a record."""
SEARCH_S = 10.0
"""How long after a failure partitions are asked one by one, to find the one that fails."""
MISPLACED = (NoOffsetForPartitionError, OffsetOutOfRangeError)
"""Kafka works, but the log does not hold our position: the positions must be read again."""

log = logging.getLogger(__name__)


class FetchFailure(NamedTuple):
    """Why a partition cannot be fetched, and when it is tried again."""

    why: str
    tries: int
    retry_at: float
    """By the monotonic clock."""
    fetched_ms: int | None = None
    """When Kafka had last answered a fetch without an error, by the consumer's own clock."""

    @property
    def retry_due(self) -> bool:
        """Whether it is time to try again."""
        return time.monotonic() >= self.retry_at


def failure_after(before: FetchFailure | None, error: Exception) -> FetchFailure:
    """The failure of a partition after one more try; each pause is twice as long as the last."""
    tries = before.tries + 1 if before else 1
    pause_s = min(FIRST_RETRY_S * 2 ** (tries - 1), LAST_RETRY_S)
    return FetchFailure(f"cannot be fetched: {error!r}", tries, time.monotonic() + pause_s)


def _size(records: Iterable[Record]) -> int:
    return sum(len(record.value or b"") for record in records)


class Fetching:
    """Takes records off a consumer's buffers; `admission` decides which of them to believe."""

    def __init__(self, consumer: AIOKafkaConsumer, seek_back: Callable[..., None]) -> None:
        """`seek_back` makes the consumer fetch partitions on from our own positions."""
        self._consumer = consumer
        self._seek_back = seek_back
        self._partitions: list[TopicPartition] = []
        self._search_until = 0.0
        self.failing: dict[TopicPartition, FetchFailure] = {}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these from now on; their earlier failures are forgotten."""
        self._partitions = list(partitions)
        self._search_until = 0.0
        self.failing.clear()

    async def fetch(
        self, timeout_s: float, without: Collection[TopicPartition] = ()
    ) -> dict[TopicPartition, list[Record]]:
        """The next records of each partition but those `without`; waits for the first.

        With some left out it does not wait long: there is work to do.

        All partitions are asked at once; after a failure each by itself, to find the one that
        fails. What a failed fetch had taken off the others' buffers is lost: the consumer seeks
        back. Raises MISPLACED.
        """
        asked = [partition for partition in self._partitions if partition not in without]
        timeout_s = min(timeout_s, EMPTY_FETCH_PAUSE_S) if without else timeout_s
        if asked and not self.failing and time.monotonic() >= self._search_until:
            try:
                return await self._getmany(*asked, timeout_s=timeout_s)
            except MISPLACED:
                raise
            except KafkaError as error:
                log.warning("fetch failed, going on with one partition at a time: %r", error)
                self._search_until = time.monotonic() + SEARCH_S
                self._seek_back(*self._partitions)
                return {}
        fetched = await self._get_each(without)
        if not fetched:
            await asyncio.sleep(min(timeout_s, EMPTY_FETCH_PAUSE_S))
        return fetched

    async def _get_each(
        self, without: Collection[TopicPartition]
    ) -> dict[TopicPartition, list[Record]]:
        """The next records of one partition after the other, FETCH_BYTES and those of one more.

        The partitions that had no turn come first in the next round.
        """
        fetched: dict[TopicPartition, list[Record]] = {}
        size = 0
        for had_turn, partition in enumerate(list(self._partitions), 1):
            records = [] if partition in without else await self._get_one(partition)
            if records:
                fetched[partition] = records
                size += _size(records)
            if size >= FETCH_BYTES:
                self._partitions = self._partitions[had_turn:] + self._partitions[:had_turn]
                break
        return fetched

    async def _get_one(self, partition: TopicPartition) -> list[Record]:
        """The next records of one partition; if it fails, it is paused until its next try.

        Of a failing one records are taken singly, so that those before the failing place are kept.
        """
        failure = self.failing.get(partition)
        if failure and (not failure.retry_due or partition not in self._consumer.assignment()):
            return []
        records: list[Record] = []
        fetched_ms = self._consumer.last_poll_timestamp(partition) if failure else None
        try:
            if not failure:
                return (await self._getmany(partition)).get(partition, [])
            self._consumer.resume(partition)
            left = FETCH_BYTES
            while len(records) < MAX_RECORDS_A_FETCH and left > 0:
                single = await self._getmany(partition, max_records=1)
                if not single:
                    break
                records += single[partition]
                left -= _size(single[partition])
        except MISPLACED:
            raise
        except KafkaError as error:
            if records:
                self._consumer.seek(partition, records[-1].offset + 1)
            else:
                self.failing[partition] = failure_after(failure, error)._replace(
                    fetched_ms=self._consumer.last_poll_timestamp(partition)
                )
                self._seek_back(partition)
                self._consumer.pause(partition)
        else:
            if records or fetched_ms != failure.fetched_ms:
                del self.failing[partition]  # Kafka answers again, though maybe without a record
        return records

    async def _getmany(
        self,
        *partitions: TopicPartition,
        timeout_s: float = 0,
        max_records: int = MAX_RECORDS_A_FETCH,
    ) -> dict[TopicPartition, list[Record]]:
        fetched: dict[TopicPartition, list[Record]] = await self._consumer.getmany(
            *partitions, timeout_ms=int(timeout_s * 1000), max_records=max_records
        )
        return fetched
