"""The readings that benchmarks send: the same ones as Kafka records and as rows of `\\copy`.

Values look like those of a fleet: energies to 0.1 Wh, voltages to 10 mV. Each device reads at its
own instant of the minute, with a few milliseconds of jitter, so that few timestamps are equal. A
reading follows from its device and its minute alone.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import cycle, islice
from operator import itemgetter
from random import Random
from typing import NamedTuple

from schemas.streams import METER, STREAMS
from schemas.streams.stream import DEVICE, TIME, TIMESTAMP, Field, Stream

SEED = 20_260_131
POOL = 10_007
"""The number of values of a field; it is a prime, so that devices and minutes use all of them."""
JITTER_MS = 41
MINUTE_MS = 60_000
CLOCKS = ("millis", "seconds")

Fields = tuple[str, ...]
"""The texts of a reading's values, in the order of a Row."""

_VALUES: dict[str, Callable[[Random], str]] = {
    "kwhConsumedAc": lambda rng: f"{rng.uniform(0, 0.3667):.4f}",
    "voltage": lambda rng: f"{rng.gauss(230, 3):.2f}",
    "kwhDeliveredDc": lambda rng: f"{rng.uniform(0, 0.34):.4f}",
    "soc": lambda rng: f"{rng.uniform(5, 100):.1f}",
    "batteryTemp": lambda rng: f"{rng.gauss(28, 6):.1f}",
}
_STEPS = (7919, 104_729, 1_299_709)
"""The step through a field's values from minute to minute; a fourth field has the first again."""


class BenchReadings:
    """The readings of one stream's devices, a minute apart, from `start` on."""

    def __init__(
        self, stream: Stream, *, devices: int, start: datetime, clock: str = "millis"
    ) -> None:
        rng = Random(f"{SEED} {stream.name}")
        self.stream = stream
        self.start = start
        self.clock = clock
        self.ids = device_ids(stream, devices)
        self._phases_ms = [rng.randrange(MINUTE_MS - JITTER_MS) for _ in range(devices)]
        self.order = sorted(range(devices), key=self._phases_ms.__getitem__)
        """The devices in the order in which their readings of a minute arrive."""
        self._suffixes = [
            f"{ms // 1000:02}.{ms % 1000:03}Z" if clock == "millis" else f"{ms // 1000:02}Z"
            for ms in range(MINUTE_MS)
        ]
        self._pools = [[draw(field, rng) for _ in range(POOL)] for field in stream.row_fields]

    def minute(self, minute: int) -> Callable[[int], Fields]:
        """The function from a device's number to its reading of that minute."""
        prefix = (self.start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")
        suffixes, phases, ids = self._suffixes, self._phases_ms, self.ids
        energies, *others = self._pools
        first, *steps = islice(cycle(_STEPS), len(self._pools))

        def fields(device: int) -> Fields:
            spread = device * 6151
            jitter_ms = (device * 31 + minute * 17) % JITTER_MS
            return (
                energies[(spread + minute * first) % POOL],
                prefix + suffixes[phases[device] + jitter_ms],
                *[
                    pool[(spread + minute * step) % POOL]
                    for pool, step in zip(others, steps, strict=True)
                ],
                ids[device],
            )

        return fields


def draw(field: Field, rng: Random) -> str:
    """A value as a fleet sends it; for a field without an entry above, any within its limits."""
    if field.name in _VALUES:
        return _VALUES[field.name](rng)
    highest = field.minimum + 1 if field.maximum is None else field.maximum
    rounded = round(rng.uniform(field.minimum, highest), 1)
    return str(min(max(rounded, field.minimum), highest))


class BenchFleet(NamedTuple):
    """The readings of all streams, by the stream's name."""

    streams: dict[str, BenchReadings]
    minutes: int

    @property
    def readings(self) -> int:
        """The number of readings of all streams together."""
        return self.minutes * sum(len(one.ids) for one in self.streams.values())


def fleet(*, devices: int, minutes: int, start: datetime, clock: str) -> BenchFleet:
    """A fleet of `devices` devices in each stream."""
    return BenchFleet(
        {
            name: BenchReadings(stream, devices=devices, start=start, clock=clock)
            for name, stream in STREAMS.items()
        },
        minutes,
    )


def device_ids(stream: Stream, devices: int) -> list[str]:
    """Ids of nine characters."""
    prefix = "MTR" if stream is METER else "VEH"
    return [f"{prefix}-{number:05}" for number in range(devices)]


def as_json(stream: Stream) -> Callable[[Fields], str]:
    """The function from a reading to the JSON that gateways send."""
    places = {field.name: stream.row_columns.index(field.column) for field in stream.fields}
    values = ",".join(f'"{name}":%s' for name in places)
    form = f'{{"{stream.id_field}":"%s",{values},"{TIMESTAMP}":"%s"}}'
    taken = itemgetter(DEVICE, *places.values(), TIME)
    return lambda fields: form % taken(fields)


def as_copy_line(fields: Fields) -> str:
    """The reading as a line of COPY's text format."""
    return "\t".join(fields) + "\n"
