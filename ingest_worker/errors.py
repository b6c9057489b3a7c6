"""What a worker and its commands raise beside the errors of psycopg and aiokafka.

Exception
├── FencedError             another owner has moved a position on: drop the batch
├── InDoubtError            our view of the partitions may be wrong: read the positions again
├── KeptOutError            Kafka keeps this worker out of its group: begin anew with a new consumer
├── LostPositionError       the log does not hold what the position stands for
├── CommandRefusedError     what an operator asked for would do harm or cannot be done
├── DutyFailedError         some of what housekeeping has to do could not be done
└── SideTaskError           a task beside the loop died: the process must not go on without it
"""

from typing import Any

from aiokafka import TopicPartition

from brokers.partitions import name_of


class FencedError(Exception):
    """A position is not where this batch starts: another owner has moved on."""

    def __init__(self, text: str, **fields: Any) -> None:
        super().__init__(text)
        self.fields = fields
        """What the log's line has beside the text: topic, partition, offset."""


class InDoubtError(Exception):
    """Our view of the partitions may be wrong: read the positions again, then go on."""


class KeptOutError(Exception):
    """Kafka keeps this worker out of its group: it takes a new consumer to ask again."""


class LostPositionError(Exception):
    """The log does not hold what the position stands for; an operator must decide."""

    def __init__(self, partition: TopicPartition, position: int, why: str) -> None:
        super().__init__(f"{name_of(partition)} at {position}: {why}")
        self.partition = partition
        self.position = position
        self.why = why


class CommandRefusedError(Exception):
    """What an operator asked for would do harm or cannot be done; the text says why."""


class DutyFailedError(Exception):
    """Some of what housekeeping has to do could not be done; the text says what, and why."""


class SideTaskError(Exception):
    """A task that must run beside the loop has died; `__cause__` is what it died of."""
