"""Partitions that are not read on for a while: PostgreSQL does not take their next readings yet."""

import time
from dataclasses import dataclass

from aiokafka import TopicPartition

FIRST_PAUSE_S, LAST_PAUSE_S = 1.0, 10.0


@dataclass
class Pause:
    """How long a partition is not read, and where it stands."""

    position: int
    seconds: float
    until: float
    """By the monotonic clock."""
    over: bool = False


class HoldingBack:
    """The pauses of held partitions."""

    def __init__(self) -> None:
        self._pauses: dict[TopicPartition, Pause] = {}

    def begin(self, partition: TopicPartition, position: int) -> Pause:
        """Pause a partition; each pause at one position is twice as long as the one before."""
        before = self._pauses.get(partition)
        seconds = FIRST_PAUSE_S
        if before and before.position == position:
            seconds = min(before.seconds * 2, LAST_PAUSE_S)
        pause = Pause(position, seconds, time.monotonic() + seconds)
        self._pauses[partition] = pause
        return pause

    def end_due(self) -> list[TopicPartition]:
        """End the pauses that have lasted long enough; the partitions that are to be read again."""
        now = time.monotonic()
        due = [p for p, pause in self._pauses.items() if not pause.over and now >= pause.until]
        for partition in due:
            self._pauses[partition].over = True
        return due

    def pauses(self, partition: TopicPartition) -> bool:
        """Whether a partition is not read now."""
        pause = self._pauses.get(partition)
        return pause is not None and not pause.over

    def clear(self) -> None:
        """Forget all pauses."""
        self._pauses.clear()
