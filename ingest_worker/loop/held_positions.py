"""What the worker believes of the partitions it holds: how far each is committed, and any doubt.

The loop moves these positions as batches are written. Whoever else looks at them, such as the
monitor, gets this object and nothing more of the worker.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka import TopicPartition

from ingest_worker import metrics


class HeldPositions:
    """The committed positions of the held partitions, as last read from or written to PostgreSQL.

    A position is the next offset to read.
    """

    def __init__(self) -> None:
        self._committed: dict[TopicPartition, int] = {}
        self._moving = False
        self._doubt: str | None = None

    @property
    def committed(self) -> Mapping[TopicPartition, int]:
        """The position of each held partition."""
        return self._committed

    @property
    def moving(self) -> bool:
        """Whether a transaction may be moving positions right now."""
        return self._moving

    @property
    def doubt(self) -> str | None:
        """Why the positions in PostgreSQL are not what is believed here, if somebody says so."""
        return self._doubt

    def forget_doubt(self) -> None:
        """Start with an open mind: the positions are about to be read again."""
        self._doubt = None

    def hold(self, positions: Mapping[TopicPartition, int]) -> None:
        """Hold these partitions, and no others, at these positions."""
        self._committed = dict(positions)

    def advance(self, partition: TopicPartition, position: int) -> None:
        """Note that a held partition's position was moved in PostgreSQL."""
        self._committed[partition] = position
        metrics.POSITION.labels(*partition).set(position)

    @contextmanager
    def being_moved(self) -> Iterator[None]:
        """Around whatever moves positions in PostgreSQL."""
        self._moving = True
        try:
            yield
        finally:
            self._moving = False

    def raise_doubt(self, why: str) -> None:
        """Have the loop drop what is in hand and read the positions again."""
        self._doubt = why
