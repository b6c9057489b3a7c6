"""What goes wrong between a device and Kafka, and what must become of each such reading.

A reading has at most one fault, and no fault loses energy: the correct reading is always sent, too.
One device in four sends bad readings, so that most vehicles' figures are complete. A conflicting
reading follows the correct one in the same partition, so that it is certain which of them is
stored; of equal readings it does not matter.
"""

import math
from collections.abc import Callable
from random import Random
from zlib import crc32

from devstack.fleet.gateway import DUPLICATE, STORED, Sent, text_of
from devstack.fleet.options import FAULTS
from schemas.streams.stream import DEVICE, ENERGY, TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import DAY_US, POSTGRES_EPOCH, SECOND_US, to_micros

RATES = {"duplicates": 0.012, "late": 0.02, "clocks": 0.004, "garbage": 0.016, "conflicts": 0.016}
"""The share of readings that have each fault; of bad readings, of those devices that send them."""
BAD_READINGS = ("garbage", "conflicts")
BAD_DEVICES = 4
"""One device in so many sends them."""
LONGEST_DELAY_STEPS = 30
UNIX_EPOCH = to_micros(POSTGRES_EPOCH.replace(year=1970))
YEAR_AHEAD_US = 365 * DAY_US
CONFLICT_KWH = 0.25

Delayed = tuple[int, Sent]
"""A reading, and the number of steps until it is sent; 0 means now."""


class Faults:
    """Draws faults from a seed of its own, so that they change nothing else about the fleet."""

    def __init__(self, kinds: frozenset[str], seed: int, partitions: dict[str, int]) -> None:
        """`partitions` are the numbers of partitions by the stream's name."""
        self._rng = Random(f"faults {seed}")
        self._partitions = partitions
        self._kinds = [kind for kind in FAULTS if kind in kinds]
        self._weights = [RATES[kind] for kind in self._kinds]
        self._rate = sum(self._weights)
        self._make: dict[str, Callable[[Sent, Row], list[Delayed]]] = {
            "duplicates": self._twice,
            "late": self._late,
            "clocks": self._with_a_broken_clock,
            "garbage": self._with_garbage,
            "conflicts": self._with_a_conflict,
        }

    def send(self, stream: Stream, partition: int, row: Row) -> list[Delayed]:
        """Everything that is sent because of one reading."""
        good = Sent(stream, partition, row[DEVICE], text_of(stream, row), STORED, row)
        if self._rng.random() >= self._rate:
            return [(0, good)]
        (kind,) = self._rng.choices(self._kinds, self._weights)
        if kind in BAD_READINGS and crc32(row[DEVICE].encode()) % BAD_DEVICES != 1:
            return [(0, good)]
        return self._make[kind](good, row)

    def _delay(self) -> int:
        return self._rng.randint(1, LONGEST_DELAY_STEPS)

    def _twice(self, good: Sent, row: Row) -> list[Delayed]:
        """Send it twice: at once or later, in its partition or in another one."""
        again = good._replace(outcome=DUPLICATE, row=None)
        if self._rng.random() < 0.3:
            partition = self._rng.randrange(self._partitions[good.stream.name])
            again = again._replace(partition=partition)
        return [(0, good), (self._rng.choice((0, self._delay())), again)]

    def _late(self, good: Sent, row: Row) -> list[Delayed]:
        return [(self._delay(), good)]

    def _with_a_broken_clock(self, good: Sent, row: Row) -> list[Delayed]:
        """Send it with a clock that is in 1970 or a year ahead, then with the right time."""
        if self._rng.random() < 0.5:
            wrong = UNIX_EPOCH + self._rng.randrange(3600) * SECOND_US
            reason = "too_old"
        else:
            wrong = row[TIME] + YEAR_AHEAD_US
            reason = "in_future"
        text = text_of(good.stream, (row[ENERGY], wrong, *row[2:]))
        return [(0, good._replace(text=text, outcome=reason, row=None)), (0, good)]

    def _with_a_conflict(self, good: Sent, row: Row) -> list[Delayed]:
        """Send the reading, and after it another energy for the same device and time."""
        other = text_of(good.stream, (row[ENERGY] + CONFLICT_KWH, *row[1:]))
        conflict = good._replace(text=other, outcome="conflict", row=None)
        return [(0, good), (self._rng.choice((0, self._delay())), conflict)]

    def _with_garbage(self, good: Sent, row: Row) -> list[Delayed]:
        text = good.text or b""
        made: bytes | None
        if self._rng.random() < 0.5:
            made = self._malformed(text)
            garbage = good._replace(text=made, outcome="malformed", row=None, alone=True)
        else:
            made = self._invalid(good.stream, text)
            garbage = good._replace(text=made, outcome="invalid", row=None)
        return [(0, garbage), (0, good)]

    def _malformed(self, text: bytes) -> bytes | None:
        """Bytes that are not JSON, or None, which is a tombstone."""
        cut = self._rng.randrange(1, len(text) - 1)
        return self._rng.choice(
            (
                text[:cut],
                b"\xff" + self._rng.randbytes(24),
                b"",
                None,
                b"[]",
                text.replace(b":", b":NaN,", 1),
            )
        )

    def _invalid(self, stream: Stream, text: bytes) -> bytes:
        """JSON that is not a valid reading. The bad field is a required one: it may not be null."""
        field = self._rng.choice([field for field in stream.fields if field.required])
        below = b"%d" % (math.floor(field.minimum) - 1)
        bad = self._rng.choice((below, b'"12.5"', b"null", b"1e400"))
        mutilated = text[:-1] + b',"%s":%s}' % (field.name.encode(), bad)
        renamed = text.replace(f'"{TIMESTAMP}"'.encode(), b'"time"')
        return self._rng.choice((mutilated, renamed, b"null", b"17", b"{}"))
