"""The ground truth: what a fleet sent, and so what PostgreSQL and the API must hold."""

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from devstack.fleet.depots import Session
from devstack.fleet.gateway import DUPLICATE, STORED, Sent
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.stream import DEVICE, ENERGY, TIME, Row, Stream
from schemas.streams.times import format_micros


class Energy(NamedTuple):
    """The energy of some charging on both sides, in kWh."""

    ac: float
    dc: float

    @property
    def efficiency(self) -> float | None:
        """DC / AC; None when there is no AC energy."""
        return self.dc / self.ac if self.ac else None


class _Series:
    """The stored readings of one device, in the order they were sent.

    Eight bytes a number; a value that was not sent is kept as NaN, which no reading can hold.
    """

    def __init__(self, stream: Stream) -> None:
        self.times = array("q")
        self.values = [array("d") for _ in stream.fields]

    def add(self, row: Row) -> None:
        self.times.append(row[TIME])
        for column, value in zip(self.values, (row[ENERGY], *row[2:-1]), strict=True):
            column.append(math.nan if value is None else value)


@dataclass
class Truth:
    """Counts every reading that is handed to Kafka, and keeps those that must be stored."""

    outcomes: dict[str, Counter[str]] = field(
        default_factory=lambda: {name: Counter() for name in STREAMS}
    )
    """By stream: the numbers of stored, of duplicate, and of rejected readings by reason."""
    read: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Readings as decoded, by stream and partition."""
    sessions: list[Session] = field(default_factory=list)
    first_time: int | None = None
    last_time: int | None = None
    """The newest time of a stored reading; `first_time` is the oldest."""
    _series: dict[str, dict[str, _Series]] = field(
        default_factory=lambda: {name: {} for name in STREAMS}
    )

    def note(self, sent: Sent) -> None:
        """Count a reading that goes to Kafka."""
        self.outcomes[sent.stream.name][sent.outcome] += 1
        self.read[sent.stream.name, sent.partition] += 1
        if sent.row is not None:
            devices = self._series[sent.stream.name]
            series = devices.get(sent.device_id)
            if series is None:
                series = devices[sent.device_id] = _Series(sent.stream)
            series.add(sent.row)
            time = sent.row[TIME]
            if self.first_time is None or time < self.first_time:
                self.first_time = time
            if self.last_time is None or time > self.last_time:
                self.last_time = time

    @property
    def sent(self) -> int:
        """The number of readings; garbage that cannot be split counts as one."""
        return self.read.total()

    def stored(self, stream: Stream) -> Iterator[Row]:
        """The readings that must be stored: one for each device and time."""
        for device_id, series in self._series[stream.name].items():
            for time, energy, *others in zip(series.times, *series.values, strict=True):
                values = [None if math.isnan(value) else value for value in others]
                yield (energy, time, *values, device_id)

    def newest(self, stream: Stream) -> dict[str, Row]:
        """The newest stored reading of each device, which is its live state."""
        newest: dict[str, Row] = {}
        for row in self.stored(stream):
            if row[DEVICE] not in newest or row[TIME] > newest[row[DEVICE]][TIME]:
                newest[row[DEVICE]] = row
        return newest

    def session_energy(self, session: Session, start: int, end: int) -> Energy:
        """The energy of both sides inside the session and `[start, end)`."""
        since = max(session.start, start)
        until = end if session.end is None else min(session.end, end)
        return Energy(
            math.fsum(self._energies(METER, session.meter_id, since, until)),
            math.fsum(self._energies(VEHICLE, session.vehicle_id, since, until)),
        )

    def vehicle_energy(self, vehicle_id: str, start: int, end: int) -> Energy:
        """The energy of all its sessions in `[start, end)`."""
        parts = [
            self.session_energy(session, start, end)
            for session in self.sessions
            if session.vehicle_id == vehicle_id and not session.refused
        ]
        return Energy(math.fsum(part.ac for part in parts), math.fsum(part.dc for part in parts))

    def vehicles(self) -> list[str]:
        """The ids of vehicles with a stored reading, sorted."""
        return sorted(self._series[VEHICLE.name])

    def summary(self, start: int, end: int) -> dict[str, Any]:
        """The ground truth as JSON; energies are those of `[start, end)`."""
        return {
            "sent": self.sent,
            "streams": {name: self._stream_summary(name) for name in STREAMS},
            "sessions": sum(not session.refused for session in self.sessions),
            "sessionsRefused": sum(session.refused for session in self.sessions),
            "window": {"start": format_micros(start), "end": format_micros(end)},
            "vehicles": [self._vehicle_summary(name, start, end) for name in self.vehicles()],
        }

    def _energies(self, stream: Stream, device_id: str, start: int, end: int) -> Iterator[float]:
        series = self._series[stream.name].get(device_id)
        if series is not None:
            for time, energy in zip(series.times, series.values[0], strict=True):
                if start <= time < end:
                    yield energy

    def _stream_summary(self, name: str) -> dict[str, Any]:
        counts = self.outcomes[name]
        read = {key[1]: count for key, count in sorted(self.read.items()) if key[0] == name}
        rejected = {k: counts[k] for k in sorted(counts) if k not in (STORED, DUPLICATE)}
        return {
            "read": sum(read.values()),
            "stored": counts[STORED],
            "duplicate": counts[DUPLICATE],
            "rejected": rejected,
            "readByPartition": read,
        }

    def _vehicle_summary(self, vehicle_id: str, start: int, end: int) -> dict[str, Any]:
        energy = self.vehicle_energy(vehicle_id, start, end)
        meters = {s.meter_id for s in self.sessions if s.vehicle_id == vehicle_id}
        return {
            "vehicleId": vehicle_id,
            "meterIds": sorted(meters),
            "energyAc": energy.ac,
            "energyDc": energy.dc,
            "efficiency": energy.efficiency,
        }
