"""The checks at the demo's end: the books and the API against the fleet's ground truth."""

from dataclasses import dataclass
from typing import Any

COUNTS = ("read", "stored", "duplicate", "rejected")
LOW_EFFICIENCY = 0.85
ENERGY_ROUNDING = RATIO_ROUNDING = 0.0005
"""The largest error of figures that the API rounds to 0.001."""
FLOAT_ERROR = 1e-6
Partition = tuple[str, int]
"""A topic and the number of a partition."""
Books = dict[Partition, dict[str, int]]
"""The COUNTS of each partition."""


@dataclass(frozen=True)
class Check:
    """A statement that must hold at the end."""

    holds: bool
    text: str


@dataclass(frozen=True)
class VehicleFigures:
    """One vehicle's figures over the fleet's whole time: the API's, and the fleet's own."""

    vehicle_id: str
    meter_ids: list[str]
    energy_ac: float
    energy_dc: float
    efficiency: float | None
    true_ac: float
    true_dc: float
    true_efficiency: float | None

    @property
    def match(self) -> bool:
        """Whether the API and the fleet agree within rounding."""
        return (
            _close(self.energy_ac, self.true_ac, ENERGY_ROUNDING)
            and _close(self.energy_dc, self.true_dc, ENERGY_ROUNDING)
            and _close(self.efficiency, self.true_efficiency, RATIO_ROUNDING)
        )

    @property
    def low(self) -> bool:
        """Whether the vehicle's efficiency is so low that its charger needs a look."""
        return self.efficiency is not None and self.efficiency < LOW_EFFICIENCY


def vehicle_figures(truth: dict[str, Any], performance: dict[str, Any]) -> VehicleFigures:
    """Combine `truth`, the fleet's summary of a vehicle, with `performance`, the API's answer."""
    metrics = performance["metrics"]
    return VehicleFigures(
        truth["vehicleId"],
        truth["meterIds"],
        metrics["totalEnergyConsumedAc"],
        metrics["totalEnergyDeliveredDc"],
        metrics["efficiencyRatio"],
        truth["energyAc"],
        truth["energyDc"],
        truth["efficiency"],
    )


def books(report: dict[str, Any], group_id: str) -> Books:
    """The books of one consumer group in the report of `reconcile --json`."""
    return {
        (row["topic"], row["partition"]): {name: row[name] for name in COUNTS}
        for row in report["partitions"]
        if row["groupId"] == group_id
    }


def grown(before: Books, after: Books) -> Books:
    """What was counted between the two."""
    nothing = dict.fromkeys(COUNTS, 0)
    return {
        key: {name: counts[name] - before.get(key, nothing)[name] for name in COUNTS}
        for key, counts in after.items()
    }


def check_none_empty(counted: Books) -> Check:
    """Check that every partition has duplicates and rejected readings.

    A fleet that is stopped very early may not have sent them yet.
    """
    holds = bool(counted) and all(c[name] > 0 for c in counted.values() for name in COUNTS)
    return Check(holds, "all three are above zero in each of them")


def check_books(counted: Books, truth: dict[str, Any], topics: dict[str, str]) -> list[Check]:
    """Compare the books with the fleet's ground truth; `topics` are by the stream's name."""
    sums = all(c["read"] == c["stored"] + c["duplicate"] + c["rejected"] for c in counted.values())
    sent: dict[Partition, int] = {
        (topics[stream], int(partition)): count
        for stream, summary in truth["streams"].items()
        for partition, count in summary["readByPartition"].items()
    }
    total = {name: sum(c[name] for c in counted.values()) for name in COUNTS}
    read = {key: c["read"] for key, c in counted.items() if c["read"]}
    streams = truth["streams"].values()
    stored = sum(stream["stored"] for stream in streams)
    duplicate = sum(stream["duplicate"] for stream in streams)
    return [
        Check(sums, f"read = stored + duplicate + rejected in all {len(counted)} partitions"),
        Check(
            read == sent,
            f"{total['read']:,} readings were read, {truth['sent']:,} were sent; "
            "every partition for itself",
        ),
        Check(total["stored"] == stored, _beside("stored", total["stored"], stored)),
        Check(total["duplicate"] == duplicate, _beside("duplicate", total["duplicate"], duplicate)),
    ]


def check_rejected(counted: dict[str, int], truth: dict[str, Any]) -> list[Check]:
    """Compare the number of rejected readings, reason by reason."""
    expected: dict[str, int] = {}
    for stream in truth["streams"].values():
        for reason, count in stream["rejected"].items():
            expected[reason] = expected.get(reason, 0) + count
    return [
        Check(
            counted.get(reason, 0) == expected.get(reason, 0),
            _beside(f"rejected as {reason}", counted.get(reason, 0), expected.get(reason, 0)),
        )
        for reason in sorted(expected.keys() | counted.keys())
    ]


def check_vehicles(vehicles: list[VehicleFigures]) -> list[Check]:
    """Compare energies and efficiency of every vehicle, low or not."""
    wrong = [vehicle.vehicle_id for vehicle in vehicles if not vehicle.match]
    text = f"energies and efficiencies of {len(vehicles)} vehicles match the fleet's own"
    return [Check(not wrong, text + (f", except {', '.join(wrong)}" if wrong else ""))]


def check_sessions(truth: dict[str, Any]) -> Check:
    """Check that the API took every session: a refused one is missing on both sides."""
    refused = truth["sessionsRefused"]
    text = f"the API took {truth['sessions']} charging sessions and refused {refused}"
    return Check(refused == 0, text)


def _beside(what: str, counted: int, expected: int) -> str:
    return f"{what}: {counted:,}, by the fleet's own count {expected:,}"


def _close(found: float | None, true: float | None, rounding: float) -> bool:
    if found is None or true is None:
        return found is true
    return abs(found - true) <= rounding + FLOAT_ERROR
