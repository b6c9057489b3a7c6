"""Watches the positions of workers in PostgreSQL while they work."""

import time
from collections.abc import Sequence
from typing import Self

from aiokafka import TopicPartition

from bench.errors import BenchError
from bench.lab import Environment, Lab
from devstack.demo.child import Child

LOOK_EVERY_S = 0.025
STALLED_AFTER_S = 90.0
POSITIONS = """
SELECT topic, partition, next_offset, read FROM ingest_offsets WHERE group_id = %s
"""


class Watch:
    """Watches the positions of one group until they have reached the logs' ends."""

    def __init__(self, lab: Lab, environment: Environment, ends: dict[TopicPartition, int]) -> None:
        self._group_id = environment["KAFKA_GROUP_ID"]
        self._ends = ends
        self._connection = lab.connect(environment)
        self._samples: list[tuple[float, int]] = []
        self.done = False
        """Whether everything was committed at the last look."""

    def __enter__(self) -> Self:
        self.look()
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def until_done(self, workers: Sequence[Child]) -> float:
        """Wait until all is read; return the Unix time of that.

        Raises BenchError when no position moves for STALLED_AFTER_S.
        """
        moved_at = time.time()
        while not self.done:
            before = self.read
            if self.look() != before:
                moved_at = time.time()
            if time.time() - moved_at > STALLED_AFTER_S:
                raise BenchError(f"nothing moves any more\n{workers[0].log_tail()}")
            for worker in workers:
                worker.check()
            time.sleep(LOOK_EVERY_S)
        return self._samples[-1][0]

    def look(self) -> int:
        """Ask once; return the number of readings committed so far."""
        rows = self._connection.execute(POSITIONS, (self._group_id,)).fetchall()
        at = {TopicPartition(*row[:2]): row[2] for row in rows}
        self.done = all(at.get(source, 0) >= end for source, end in self._ends.items())
        self._samples.append((time.time(), sum(row[3] for row in rows)))
        return self.read

    @property
    def read(self) -> int:
        """Readings committed at the last look."""
        return self._samples[-1][1]

    def read_by(self, instant: float) -> int:
        """The number of readings that were seen to be committed at that Unix time."""
        return max((read for at, read in self._samples if at <= instant), default=0)
