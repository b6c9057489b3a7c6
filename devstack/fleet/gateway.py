"""What a gateway sends: readings, each with what must become of it, in single records or arrays."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import orjson

from schemas.streams.stream import TIME, TIMESTAMP, Row, Stream
from schemas.streams.times import format_micros

STORED, DUPLICATE = "stored", "duplicate"


class Sent(NamedTuple):
    """One reading on its way to one partition; garbage that can't be split counts as one, too."""

    stream: Stream
    partition: int
    device_id: str
    text: bytes | None
    outcome: str
    """stored, duplicate, or the reason of the rejection."""
    row: Row | None = None
    """The reading as decoded, when it is the first of its device and time."""
    alone: bool = False
    """It must not share a record: it would spoil it."""


class Record(NamedTuple):
    """One Kafka record."""

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
    """What gathers a depot's readings into records: in every partition they keep their order.

    Single readings are keyed by their device, arrays by the gateway.
    """

    def __init__(self, name: str, array_size: int) -> None:
        """An `array_size` of 1 means plain objects."""
        self._key = name.encode()
        self._array_size = array_size
        self._waiting: dict[tuple[str, int], list[Sent]] = {}

    def publish(self, sent: Iterable[Sent], *, hold: bool) -> Iterator[Record]:
        """Records of these and of what waited; arrays that are not full wait on with `hold`."""
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
