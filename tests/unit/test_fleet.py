"""A fleet is the same every time, and its truth is what an independent count finds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from devstack.fleet import FleetOptions, SimulatedFleet, Truth, parse_faults
from devstack.fleet.gateway import Record
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.stream import Row
from schemas.streams.times import ClockLimits, clock_limits

START = datetime(2026, 3, 1, tzinfo=UTC)
PARTITIONS = {"meter": 6, "vehicle": 4}
STEP_S = 60
STEPS = 200
SMALL = FleetOptions(meters=20, vehicles=24)


def live(
    steps: int = STEPS, hold: bool = False, **options: Any
) -> tuple[SimulatedFleet, list[Record]]:
    fleet = SimulatedFleet(replace(SMALL, **options), START, PARTITIONS)
    records: list[Record] = []
    for _ in range(steps):
        records += fleet.advance(STEP_S, hold=hold).records
    return fleet, records + fleet.finish()


def limits(steps: int = STEPS) -> ClockLimits:
    now = START + timedelta(seconds=steps * STEP_S)
    return clock_limits(now, max_age_days=730, retention_days=0, max_skew_seconds=0)


class Count:
    """Reads records one partition after the other and keeps books of its own."""

    def __init__(self, records: Sequence[Record], partitions: Iterable[int]) -> None:
        self.stored: dict[tuple[str, str, int], Row] = {}
        self.outcomes: dict[str, Counter[str]] = {name: Counter() for name in STREAMS}
        self.read: Counter[tuple[str, int]] = Counter()
        for partition in partitions:
            for record in records:
                if record.partition == partition:
                    self._take(record)

    def _take(self, record: Record) -> None:
        name = record.stream.name
        rows, _, rejections = Decoder(record.stream).decode(record.value, limits())
        self.read[name, record.partition] += len(rows) + len(rejections)
        assert len(rows) + len(rejections) == record.readings
        self.outcomes[name].update(rejection.reason for rejection in rejections)
        for row in rows:
            first = self.stored.setdefault((name, row[-1], row[1]), row)
            if first is row:
                self.outcomes[name]["stored"] += 1
            else:
                self.outcomes[name]["duplicate" if first == row else "conflict"] += 1


def stored_rows(truth: Truth) -> dict[tuple[str, str, int], Row]:
    return {(s.name, r[-1], r[1]): r for s in STREAMS.values() for r in truth.stored(s)}


@pytest.mark.parametrize("faults", ["all", "none"])
@pytest.mark.parametrize(
    "shape",
    [{}, {"array_size": 7}, {"array_size": 50, "hold": True}, {"array_size": 50, "mixed": True}],
)
def test_truth_is_what_an_independent_count_finds(faults: str, shape: dict[str, Any]) -> None:
    fleet, records = live(faults=parse_faults(faults), **shape)
    truth = fleet.truth
    partitions = range(max(PARTITIONS.values()))
    for order in (partitions, reversed(partitions)):
        count = Count(records, order)
        assert count.outcomes == truth.outcomes
        assert count.read == truth.read
        assert count.stored == stored_rows(truth)
    assert truth.sent == sum(record.readings for record in records)
    for stream in STREAMS.values():
        newest: dict[str, Row] = {}
        for row in sorted(truth.stored(stream), key=lambda row: row[1]):
            newest[row[-1]] = row
        assert truth.newest(stream) == newest


def test_equal_options_give_equal_records() -> None:
    options: dict[str, Any] = {"faults": parse_faults("all"), "array_size": 5, "seed": 7}
    assert live(**options)[1] == live(**options)[1]
    assert live(**options)[1] != live(**{**options, "seed": 8})[1]


def test_faults_change_nothing_about_what_is_stored() -> None:
    good, _ = live()
    bad, _ = live(faults=parse_faults("all"))
    assert stored_rows(good.truth) == stored_rows(bad.truth)
    outcomes = {"stored", "duplicate", "conflict", "malformed", "invalid", "too_old", "in_future"}
    for stream in STREAMS:
        assert good.truth.outcomes[stream].keys() == {"stored"}
        assert bad.truth.outcomes[stream].keys() == outcomes


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("duplicates", {"duplicate"}),
        ("late", set()),
        ("clocks", {"too_old", "in_future"}),
        ("garbage", {"malformed", "invalid"}),
        ("conflicts", {"conflict"}),
    ],
)
def test_each_fault_has_its_switch(fault: str, reasons: set[str]) -> None:
    fleet, records = live(faults=parse_faults(fault))
    assert set(fleet.truth.outcomes["meter"]) == {"stored", *reasons}
    times: dict[str, list[int]] = {}
    for record in records:
        for row in Decoder(record.stream).decode(record.value, limits())[0]:
            times.setdefault(row[-1], []).append(row[1])
    out_of_order = any(series != sorted(series) for series in times.values())
    assert out_of_order == (fault in ("late", "duplicates", "conflicts"))


def test_a_device_stays_in_its_partition_but_for_some_duplicates() -> None:
    _, records = live(faults=parse_faults("all"), array_size=10, hold=True)
    homes: dict[str, Counter[int]] = {}
    for record in records:
        for row in Decoder(record.stream).decode(record.value, limits())[0]:
            homes.setdefault(row[-1], Counter())[record.partition] += 1
    assert any(len(partitions) > 1 for partitions in homes.values())
    for partitions in homes.values():
        assert max(partitions.values()) > 0.98 * partitions.total()


def test_gateways_wait_for_full_arrays_only_when_told_to() -> None:
    _, held = live(array_size=8, hold=True)
    sizes = Counter(record.readings for record in held)
    assert max(sizes) == 8
    assert sum(count for size, count in sizes.items() if size < 8) <= 4 * sum(PARTITIONS.values())
    fleet, _ = live(steps=1, array_size=8)
    assert fleet.finish() == []


def test_mixed_gateways_send_both() -> None:
    _, records = live(steps=1, array_size=8, mixed=True)
    assert {(record.value or b"")[:1] for record in records} == {b"[", b"{"}


def test_every_device_reads_once_a_step_and_never_ahead_of_it() -> None:
    fleet = SimulatedFleet(SMALL, START, PARTITIONS)
    for step in range(1, 4):
        fleet.advance(STEP_S)
        assert fleet.truth.outcomes["meter"]["stored"] == step * 20
        assert fleet.truth.outcomes["vehicle"]["stored"] == step * 24
        assert fleet.truth.last_time is not None
        assert fleet.truth.last_time <= fleet.now
    assert len(stored_rows(fleet.truth)) == 3 * 44


def test_energies_add_up_over_sessions() -> None:
    fleet, _ = live(steps=600)
    start, end = fleet.truth.first_time, fleet.now + 1
    assert start is not None
    total_ac = sum(row[0] for row in fleet.truth.stored(METER))
    total_dc = sum(row[0] for row in fleet.truth.stored(VEHICLE))
    vehicles = [fleet.truth.vehicle_energy(v, start, end) for v in fleet.truth.vehicles()]
    assert sum(energy.ac for energy in vehicles) == pytest.approx(total_ac, rel=1e-12)
    assert sum(energy.dc for energy in vehicles) == pytest.approx(total_dc, rel=1e-12)
    faulty = {m.meter_id for depot in fleet.depots for m in depot.meters if m.faulty}
    assert len(faulty) == 2
    for summary in fleet.truth.summary(start, end)["vehicles"]:
        assert (summary["efficiency"] < 0.85) == (set(summary["meterIds"]) <= faulty)


def test_a_refused_session_counts_for_nothing() -> None:
    fleet, _ = live()
    session = next(session for session in fleet.truth.sessions if session.end)
    before = fleet.truth.vehicle_energy(session.vehicle_id, 0, fleet.now)
    lost = fleet.truth.session_energy(session, 0, fleet.now)
    session.refused = True
    after = fleet.truth.vehicle_energy(session.vehicle_id, 0, fleet.now)
    assert lost.ac > 0
    assert after.ac == pytest.approx(before.ac - lost.ac)


@pytest.mark.parametrize(
    "bad", [{"meters": 0}, {"array_size": 0}, {"prefix": 'a"b'}, {"faults": frozenset({"fire"})}]
)
def test_impossible_fleets_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        FleetOptions(**bad)
