"""What a gateway sends: readings, each with what must become of it, in single records or arrays."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from schemas.streams.stream import TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import format_micros

STORED, DUPLICATE = "stored", "duplicate"


class Sent(NamedTuple):
    """One reading on its way to one partition; garbage that cannot be split counts as one."""

    stream: Stream
    partition: int
    device_id: str
    text: bytes | None
    outcome: str
    """stored, duplicate, or the reason of the rejection."""
    row: Row | None = None
    """The reading as decoded, if it is the one to be stored."""
    alone: bool = False
    """Whether it needs a record of its own: it would make a whole array malformed."""


class Record(NamedTuple):
    """One Kafka record with the number of readings in it."""

    stream: Stream
    partition: int
    key: bytes
    value: bytes | None
    readings: int


def text_of(stream: Stream, row: Row) -> bytes:
    """A reading in JSON; an optional value that the row does not have is left out."""
    payload = {name: value for name, value in stream.payload(row).items() if value is not None}
    payload[TIMESTAMP] = format_micros(row[TIME])
    return orjson.dumps(payload)


class Gateway:
    """Gathers a depot's readings into records; in every partition they keep their order.

    The key of a single reading is its device, that of an array is the gateway.
    """

    def __init__(self, name: str, array_size: int) -> None:
        """With an `array_size` of 1, every record is a plain object."""
        self._key = name.encode()
        self._array_size = array_size
        self._waiting: dict[tuple[str, int], list[Sent]] = {}

    def publish(self, sent: Iterable[Sent], *, hold: bool) -> Iterator[Record]:
        """Yield the records of these readings and of those that waited for a full array.

        With `hold`, readings go on waiting until their array is full.
        """
        if self._array_size == 1:
            yield from map(_single, sent)
            return
        for one in sent:
            if one.alone:
                yield _single(one)
                continue
            waiting = self._waiting.setdefault((one.stream.name, one.partition), [])
            waiting.append(one)
            if len(waiting) == self._array_size:
                yield self._array(waiting)
        if not hold:
            for waiting in self._waiting.values():
                if waiting:
                    yield self._array(waiting)

    def _array(self, waiting: list[Sent]) -> Record:
        value = b"[" + b",".join(one.text or b"" for one in waiting) + b"]"
        record = Record(waiting[0].stream, waiting[0].partition, self._key, value, len(waiting))
        waiting.clear()
        return record


def _single(one: Sent) -> Record:
    return Record(one.stream, one.partition, one.device_id.encode(), one.text, 1)
