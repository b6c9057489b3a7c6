"""Readings whose outcome is known beforehand, and the comparison of the database with it.

A generator decides what every reading must become. The comparison is by SQL alone: history as a
multiset, live state, rejected readings with reason and offset, and the books.
"""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer

from tests.connections import connect
from tests.kafka import options_of
from tests.workers import books_of

DEVICES = 50
LATEST_STEP_S = 1_000
"""Late readings are up to so many seconds older than the late ones before: days, soon."""
PARTITIONS = 6
START = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=20)
CLOCKS = {"1970": "too_old", "2106": "in_future", str(START.year + 1): "in_future"}
"""Years of broken clocks, and what becomes of their readings."""
BAD = [
    (b"", "malformed", True),
    (b"\xff\xfe{}", "malformed", True),
    (b'{"meterId":', "malformed", True),
    (b"null", "invalid", False),
    (b'{"meterId":"M","kwhConsumedAc":NaN}', "malformed", True),
    (b'{"meterId":"M","vehicleId":"V","kwhConsumedAc":-1,"kwhDeliveredDc":-1}', "invalid", False),
]
"""Bytes, reason, and whether they break an array they stand in."""
COLUMNS = {
    "meter": ("meter_id", "kwh_consumed_ac", "voltage"),
    "vehicle": ("vehicle_id", "kwh_delivered_dc", "soc", "battery_temp"),
}
TIME = """to_char("timestamp", 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""


class Sent(NamedTuple):
    """One reading's bytes and what is known of it."""

    raw: bytes
    reason: str | None = None
    key: tuple[str, str] = ("", "")
    """Device and time."""
    values: tuple[float, ...] = ()


class Mix(NamedTuple):
    """The share of readings that are not simply new and good."""

    bad: float = 0.01
    clocks: float = 0.01
    conflicts: float = 0.01
    duplicates: float = 0.09
    late: float = 0.03


@dataclass
class Expected:
    """What one topic must become. Rejections are (partition, offset, index, reason)."""

    stored: dict[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    rejected: Counter[tuple[int, int, int | None, str]] = field(default_factory=Counter)
    duplicate: int = 0
    sent: int = 0
    readings: int = 0
    """As often as they are read."""

    def expect(self, partition: int, offset: int, value: bytes, sent: list[Sent]) -> None:
        """Note what a record's readings become; to be called in the order of its partition."""
        for index, reading in enumerate(sent):
            split = value.startswith(b"[") or reading.reason != "malformed"
            self._expect(partition, offset, index if split else None, reading)

    def _expect(self, partition: int, offset: int, index: int | None, sent: Sent) -> None:
        self.sent += 1
        self.readings += 1
        if sent.reason:
            self.rejected[partition, offset, index, sent.reason] += 1
        elif sent.key not in self.stored:
            self.stored[sent.key] = sent.values
        elif self.stored[sent.key] == sent.values:
            self.duplicate += 1
        else:
            self.rejected[partition, offset, index, "conflict"] += 1

    def read_again(self) -> None:
        """All of it is read once more: nothing changes but the duplicates."""
        self.duplicate += self.sent
        self.readings += self.sent


class Generator:
    """Makes readings of one stream: mostly good, some twice, late, differing, bad.

    Readings that differ follow the first of their key in its partition; equal ones go anywhere.
    """

    def __init__(self, stream: str, seed: int, mix: Mix = Mix()) -> None:  # noqa: B008
        self._stream = stream
        self._random = random.Random(f"{stream} {seed}")
        self._kinds = [*mix._fields, "good"]
        self._weights = [*mix, 1 - sum(mix)]
        self._seconds = [0] * DEVICES
        self._late_seconds = [0] * DEVICES
        self._recent: deque[tuple[int, Sent]] = deque(maxlen=200)

    def next(self, *, alone: bool) -> tuple[int, Sent]:
        """A partition and a reading; `alone` allows bytes that cannot stand in an array."""
        (kind,) = self._random.choices(self._kinds, self._weights)
        device = self._random.randrange(DEVICES)
        if kind == "bad":
            raw, reason, breaks = self._random.choice(BAD)
            if alone or not breaks:
                return device % PARTITIONS, Sent(raw, reason)
        if kind == "clocks":
            year = self._random.choice(list(CLOCKS))
            return device % PARTITIONS, self._reading(device, f"{year}-05-01T00:00:00Z")
        if kind in ("conflicts", "duplicates") and self._recent:
            device, sent = self._random.choice(self._recent)
            if kind == "conflicts":
                return device % PARTITIONS, self._reading(device, sent.key[1])
            return self._random.choice((device, self._random.randrange(DEVICES))) % PARTITIONS, sent
        if kind == "late":
            self._late_seconds[device] -= self._random.randrange(1, LATEST_STEP_S)
            seconds = self._late_seconds[device]
        else:
            self._seconds[device] += 1
            seconds = self._seconds[device]
        time = (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        sent = self._reading(device, time)
        self._recent.append((device, sent))
        return device % PARTITIONS, sent

    def _reading(self, device: int, time: str) -> Sent:
        kwh = round(self._random.random(), 6)
        values: tuple[float, ...]
        if self._stream == "meter":
            device_id, values = f"MTR-{device:03}", (kwh, 230.5)
            fields = f'"meterId":"{device_id}","kwhConsumedAc":{kwh!r},"voltage":230.5'
        else:
            device_id, values = f"VH-{device:03}", (kwh, 55.5, 31.25)
            fields = (
                f'"vehicleId":"{device_id}","kwhDeliveredDc":{kwh!r},"soc":55.5,"batteryTemp":31.25'
            )
        raw = f'{{{fields},"timestamp":"{time}"}}'.encode()
        return Sent(raw, CLOCKS.get(time[:4]), (device_id, time), values)


def make_records(
    generator: Generator, singles: int, in_arrays: int
) -> Iterator[tuple[int, bytes, list[Sent]]]:
    """Yield (partition, value, readings): single records first, then arrays of up to 40."""
    for _ in range(singles):
        partition, sent = generator.next(alone=True)
        yield partition, sent.raw, [sent]
    waiting: list[list[Sent]] = [[] for _ in range(PARTITIONS)]
    for _ in range(in_arrays):
        partition, sent = generator.next(alone=False)
        held = waiting[partition]
        held.append(sent)
        if len(held) == 40:
            yield partition, array_of(held), list(held)
            held.clear()
    for partition, held in enumerate(waiting):
        if held:
            yield partition, array_of(held), held


def array_of(readings: list[Sent]) -> bytes:
    """A gateway's batch."""
    return b"[" + b",".join(sent.raw for sent in readings) + b"]"


async def produce(environment: dict[str, str], readings: int, seed: int) -> dict[str, Expected]:
    """Send that many readings to each topic, half as single records, half in arrays."""
    producer = AIOKafkaProducer(**options_of(environment), linger_ms=20)
    expected = {}
    async with producer:
        for stream in ("meter", "vehicle"):
            topic = environment[f"KAFKA_{stream.upper()}_TOPIC"]
            expected[stream] = Expected()
            half = readings // 2
            records = list(make_records(Generator(stream, seed), half, half))
            sending = [
                await producer.send(topic, value, partition=partition)
                for partition, value, _ in records
            ]
            acknowledged = await asyncio.gather(*sending)
            for (partition, value, sent), ack in zip(records, acknowledged, strict=True):
                expected[stream].expect(partition, ack.offset, value, sent)
    return expected


def all_read(environment: dict[str, str], expected: dict[str, Expected]) -> bool:
    """Whether as many readings as were sent, or more, have been read."""
    with connect(environment) as connection:
        row = connection.execute(
            "SELECT coalesce(sum(read), 0) FROM ingest_offsets WHERE topic = ANY(%s)",
            [[environment[f"KAFKA_{stream.upper()}_TOPIC"] for stream in expected]],
        ).fetchone()
    assert row
    return bool(row[0] >= sum(e.readings for e in expected.values()))


class Difference(NamedTuple):
    """How the rows of history differ from the truth, in readings."""

    lost: int
    doubled: int


def assert_holds(environment: dict[str, str], expected: dict[str, Expected]) -> Difference:
    """The database is exactly what was expected, and the books say so."""
    differences = [compare_history(environment, stream, e) for stream, e in expected.items()]
    difference = Difference(*(sum(part) for part in zip(*differences, strict=True)))
    assert difference == Difference(lost=0, doubled=0)
    for stream, e in expected.items():
        _assert_live(environment, stream, e)
        _assert_rejected(environment, stream, e)
    topics = [environment[f"KAFKA_{stream.upper()}_TOPIC"] for stream in expected]
    assert books_of(environment, *topics) == {
        "read": sum(e.readings for e in expected.values()),
        "stored": sum(len(e.stored) for e in expected.values()),
        "duplicate": sum(e.duplicate for e in expected.values()),
        "rejected": sum(e.rejected.total() for e in expected.values()),
    }
    return difference


def compare_history(environment: dict[str, str], stream: str, expected: Expected) -> Difference:
    """Compare history with the truth, as multisets of (time, device, values)."""
    there = Counter(_rows(environment, f"{stream}_telemetry_history", stream))
    truth = Counter(
        (time, device_id, *values) for (device_id, time), values in expected.stored.items()
    )
    return Difference((truth - there).total(), (there - truth).total())


def _assert_live(environment: dict[str, str], stream: str, expected: Expected) -> None:
    newest: dict[str, tuple[Any, ...]] = {}
    for (device_id, time), values in expected.stored.items():
        row = (time, device_id, *values)
        newest[device_id] = max(newest.get(device_id, row), row)
    live = _rows(environment, f"{stream}_live_state", stream)
    assert sorted(live) == sorted(newest.values())


def _assert_rejected(environment: dict[str, str], stream: str, expected: Expected) -> None:
    with connect(environment) as connection:
        rows = connection.execute(
            'SELECT partition, "offset", record_index, reason FROM rejected_records'
            " WHERE topic = %s",
            (environment[f"KAFKA_{stream.upper()}_TOPIC"],),
        ).fetchall()
    there = Counter(rows)
    assert (there - expected.rejected, expected.rejected - there) == (Counter(), Counter())


def _rows(environment: dict[str, str], table: str, stream: str) -> list[tuple[Any, ...]]:
    with connect(environment) as connection:
        columns = ", ".join(COLUMNS[stream])
        return connection.execute(f"SELECT {TIME}, {columns} FROM {table}".encode()).fetchall()
