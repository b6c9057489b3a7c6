"""The simulated fleet: its depots and gateways, step by step.

It knows neither a clock nor Kafka: the caller says how much time passes and sends the records. The
same options, start and steps always give the same records.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from random import Random

from brokers.partitions import partition_of
from devstack.fleet.depots import Depot, Session, build_depots
from devstack.fleet.faults import Faults
from devstack.fleet.gateway import Gateway, Record, Sent
from devstack.fleet.options import FleetOptions
from devstack.fleet.physics import advance, voltage
from devstack.fleet.truth import Truth
from schemas.streams import METER, VEHICLE
from schemas.streams.stream import DEVICE, Row, Stream
from schemas.streams.times import SECOND_US, to_micros

MILLISECOND_US = 1000


@dataclass(frozen=True)
class Step:
    """What happened in one step."""

    records: list[Record]
    began: list[Session]
    ended: list[Session]


class SimulatedFleet:
    """The depots of a fleet, their simulated time, and the ground truth of what they sent."""

    def __init__(self, options: FleetOptions, start: datetime, partitions: dict[str, int]) -> None:
        """`partitions` are the numbers of partitions by the stream's name."""
        self.options = options
        self.truth = Truth()
        self.now = to_micros(start.replace(microsecond=0))
        """The simulated time; no reading so far is newer."""
        self._partitions = partitions
        self._rng = Random(f"fleet {options.seed}")
        self._faults = Faults(options.faults, options.seed, partitions)
        self._step = 0
        self._held_back: dict[int, list[tuple[Depot, Sent]]] = {}
        self.depots = build_depots(options, self._rng)
        self._gateways = [
            Gateway(
                f"{options.prefix}GW-{depot.number + 1:03}",
                1 if options.mixed and depot.number % 2 else options.array_size,
            )
            for depot in self.depots
        ]
        self._home_partition = {
            device_id: partition_of(device_id.encode(), partitions[stream.name])
            for depot in self.depots
            for stream, device_id in _devices(depot)
        }

    def advance(self, step_s: float, *, hold: bool = False) -> Step:
        """Let `step_s` seconds pass; each device takes one reading in that time.

        With `hold`, gateways keep arrays that are not full; else they send what they have.
        """
        start, end = self.now, self.now + round(step_s * 1000) * MILLISECOND_US
        self._step += 1
        self.now = end
        records: list[Record] = []
        began: list[Session] = []
        ended: list[Session] = []
        late: dict[int, list[Sent]] = {}
        for depot, sent in self._held_back.pop(self._step, ()):
            late.setdefault(depot.number, []).append(sent)
        for depot in self.depots:
            plugged, unplugged = advance(depot, start, end, self._rng)
            began += plugged
            ended += unplugged
            now = self._read_all(depot, start, end)
            records += self._publish(depot, late.get(depot.number, []) + now, hold=hold)
        self.truth.sessions += began
        return Step(records, began, ended)

    def finish(self) -> list[Record]:
        """The records of all readings that are still held back or in a gateway."""
        records: list[Record] = []
        for step in sorted(self._held_back):
            for depot, sent in self._held_back.pop(step):
                records += self._publish(depot, [sent], hold=True)
        for depot in self.depots:
            records += self._publish(depot, [], hold=False)
        return records

    def open_sessions(self) -> list[Session]:
        """The sessions that have not ended."""
        return [v.session for depot in self.depots for v in depot.vehicles if v.session]

    def _read_all(self, depot: Depot, start: int, end: int) -> list[Sent]:
        """What is sent now of a step's readings and their faults; what is late is held back.

        Every required field of a stream is given a value here. An optional one without is not sent.
        """
        sent: list[Sent] = []
        hours = (end - start) / SECOND_US / 3600
        for meter in depot.meters:
            row = METER.row(
                meter.meter_id,
                _time(start, end, meter.delay),
                kwhConsumedAc=round(meter.ac_kwh, 6),
                voltage=round(voltage(meter, hours, self._rng), 2),
            )
            self._take(depot, METER, row, sent)
        for vehicle in depot.vehicles:
            row = VEHICLE.row(
                vehicle.vehicle_id,
                _time(start, end, vehicle.delay),
                kwhDeliveredDc=round(vehicle.dc_kwh, 6),
                soc=round(vehicle.soc, 2),
                batteryTemp=round(vehicle.battery_c, 2),
            )
            self._take(depot, VEHICLE, row, sent)
        return sent

    def _take(self, depot: Depot, stream: Stream, row: Row, sent: list[Sent]) -> None:
        for steps, one in self._faults.send(stream, self._home_partition[row[DEVICE]], row):
            if steps:
                self._held_back.setdefault(self._step + steps, []).append((depot, one))
            else:
                sent.append(one)

    def _publish(self, depot: Depot, sent: list[Sent], *, hold: bool) -> Iterator[Record]:
        for one in sent:
            self.truth.note(one)
        return self._gateways[depot.number].publish(sent, hold=hold)


def _devices(depot: Depot) -> list[tuple[Stream, str]]:
    return [(METER, meter.meter_id) for meter in depot.meters] + [
        (VEHICLE, vehicle.vehicle_id) for vehicle in depot.vehicles
    ]


def _time(start: int, end: int, delay: float) -> int:
    """The device's own moment within a step, to the millisecond."""
    return end - int((end - start) * delay) // MILLISECOND_US * MILLISECOND_US
