"""Fetching from many partitions so that one that fails holds up no others.

A fetch that fails (a corrupt batch on a broker's disk, a missing permission) is tried again and
again, ever more seldom: it may heal, by another replica or an operator, and nothing is skipped.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from ingest_worker.write.batch import Record

MAX_RECORDS_A_FETCH = 2_000
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
LOOK_AROUND_S = 0.05
SEARCH_S = 10.0
"""How long after a failure the partition that fails is looked for."""
MISPLACED = (NoOffsetForPartitionError, OffsetOutOfRangeError)
"""Kafka is fine, the place we read from is not: the positions must be read again."""

log = logging.getLogger(__name__)


class Ailment(NamedTuple):
    """What is wrong with a partition, and when to look again."""

    why: str
    tries: int
    retry_at: float
    """By the monotonic clock."""

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return time.monotonic() >= self.retry_at


def worse(before: Ailment | None, error: Exception) -> Ailment:
    """The ailment after one more failure."""
    tries = before.tries + 1 if before else 1
    pause_s = min(FIRST_RETRY_S * 2 ** (tries - 1), LAST_RETRY_S)
    return Ailment(f"cannot be fetched: {error!r}", tries, time.monotonic() + pause_s)


class Fetching:
    """Takes records off a consumer's buffers; which of them to believe is for others to say."""

    def __init__(self, consumer: AIOKafkaConsumer, seek_back: Callable[..., None]) -> None:
        """`seek_back` makes the consumer fetch partitions on from our own positions."""
        self._consumer = consumer
        self._seek_back = seek_back
        self._partitions: list[TopicPartition] = []
        self._search_until = 0.0
        self.ailing: dict[TopicPartition, Ailment] = {}

    def begin(self, partitions: Iterable[TopicPartition]) -> None:
        """Fetch these from now on; what was wrong with them is forgotten."""
        self._partitions = list(partitions)
        self._search_until = 0.0
        self.ailing.clear()

    async def fetch(self, timeout_s: float) -> dict[TopicPartition, list[Record]]:
        """What there is, waiting up to `timeout_s` for the first of it. Raises MISPLACED.

        All partitions at once; after a failure each by itself, to find the one that fails. What a
        failed fetch had taken off the others' buffers is gone: they are sought back.
        """
        if not self.ailing and time.monotonic() >= self._search_until:
            try:
                return await self._getmany(*self._partitions, timeout_s=timeout_s)
            except MISPLACED:
                raise
            except KafkaError as error:
                log.warning("fetch failed, going on with one partition at a time: %r", error)
                self._search_until = time.monotonic() + SEARCH_S
                self._seek_back(*self._partitions)
                return {}
        each = {partition: await self._get_one(partition) for partition in self._partitions}
        fetched = {partition: records for partition, records in each.items() if records}
        if not fetched:
            await asyncio.sleep(min(timeout_s, LOOK_AROUND_S))
        return fetched

    async def _get_one(self, partition: TopicPartition) -> list[Record]:
        """What one partition has; one that fails is set aside for a while.

        Of an ailing one records are taken singly: so those before the failing place are not lost.
        """
        ailment = self.ailing.get(partition)
        if ailment and (not ailment.due or partition not in self._consumer.assignment()):
            return []
        records: list[Record] = []
        try:
            if not ailment:
                return (await self._getmany(partition)).get(partition, [])
            self._consumer.resume(partition)
            while len(records) < MAX_RECORDS_A_FETCH:
                single = await self._getmany(partition, max_records=1)
                if not single:
                    break
                records += single[partition]
        except MISPLACED:
            raise
        except KafkaError as error:
            if records:
                self._consumer.seek(partition, records[-1].offset + 1)
            else:
                self.ailing[partition] = worse(ailment, error)
                self._seek_back(partition)
                self._consumer.pause(partition)
        else:
            if records:
                del self.ailing[partition]
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
