"""The readings that benchmarks send: the same ones as Kafka records and as rows of `\\copy`.

Values look like a fleet's: energies to 0.1 Wh, voltages to 10 mV, each device at its own instant of
the minute with a few milliseconds of jitter, so that hardly two timestamps are equal. Device and
minute alone decide what a reading holds; nothing is kept for it.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from schemas.readings import METER, STREAMS, Stream

SEED = 20_260_131
POOL = 10_007
"""Different values of a field; a prime, so that devices and minutes walk through all of them."""
JITTER_MS = 41
MINUTE_MS = 60_000
CLOCKS = ("millis", "seconds")

Fields = tuple[str, ...]
"""One reading as text, in the order of the history table: energy, time, other values, device id."""

_VALUES: dict[str, list[Callable[[Random], str]]] = {
    "meter": [
        lambda rng: f"{rng.uniform(0, 0.3667):.4f}",
        lambda rng: f"{rng.gauss(230, 3):.2f}",
    ],
    "vehicle": [
        lambda rng: f"{rng.uniform(0, 0.34):.4f}",
        lambda rng: f"{rng.uniform(5, 100):.1f}",
        lambda rng: f"{rng.gauss(28, 6):.1f}",
    ],
}
_STEPS = (7919, 104_729, 1_299_709)


class Readings:
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
        self._pools = [[draw(rng) for _ in range(POOL)] for draw in _VALUES[stream.name]]

    def minute(self, minute: int) -> Callable[[int], Fields]:
        """What gives a device's reading of that minute."""
        prefix = (self.start + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:")
        suffixes, phases, ids = self._suffixes, self._phases_ms, self.ids
        shifts = [minute * step for step in _STEPS]
        energies, *others = self._pools

        def fields(device: int) -> Fields:
            spread = device * 6151
            jitter_ms = (device * 31 + minute * 17) % JITTER_MS
            return (
                energies[(spread + shifts[0]) % POOL],
                prefix + suffixes[phases[device] + jitter_ms],
                *[
                    pool[(spread + shift) % POOL]
                    for pool, shift in zip(others, shifts[1:], strict=False)
                ],
                ids[device],
            )

        return fields


class Fleet(NamedTuple):
    """Both streams."""

    streams: dict[str, Readings]
    minutes: int

    @property
    def readings(self) -> int:
        """How many there are, all streams together."""
        return self.minutes * sum(len(one.ids) for one in self.streams.values())


def fleet(*, devices: int, minutes: int, start: datetime, clock: str) -> Fleet:
    """So many meters and as many vehicles."""
    return Fleet(
        {
            name: Readings(stream, devices=devices, start=start, clock=clock)
            for name, stream in STREAMS.items()
        },
        minutes,
    )


def device_ids(stream: Stream, devices: int) -> list[str]:
    """Ids of nine characters."""
    prefix = "MTR" if stream is METER else "VEH"
    return [f"{prefix}-{number:05}" for number in range(devices)]


def as_json(stream: Stream) -> Callable[[Fields], str]:
    """What turns a reading into the JSON that gateways send."""
    if stream is METER:
        form = '{"meterId":"%s","kwhConsumedAc":%s,"voltage":%s,"timestamp":"%s"}'
        return lambda fields: form % (fields[3], fields[0], fields[2], fields[1])
    form = '{"vehicleId":"%s","soc":%s,"kwhDeliveredDc":%s,"batteryTemp":%s,"timestamp":"%s"}'
    return lambda fields: form % (fields[4], fields[2], fields[0], fields[3], fields[1])


def as_copy_line(fields: Fields) -> str:
    """The reading as a line of COPY's text format."""
    return "\t".join(fields) + "\n"
