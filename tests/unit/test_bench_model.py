"""The arithmetic of `python -m bench model`, by cases computed by hand."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.__main__ import main
from bench.errors import BenchError
from bench.model import bills, limit, plan
from bench.model_command import checked
from bench.model_figures import Figures, figures
from bench.readings import BenchReadings, as_json
from bench.report import Parts
from schemas.streams import STREAMS

BATCH_BYTES = 16 * 1024
ROUND = {
    "worker_us": 5,
    "postgres_us": 4,
    "node_us": 4,
    "coordinator_us": 2,
    "rollup_us": 100,
    "wal_bytes": 200,
    "day_bytes": 150,
    "packed_bytes": 100,
    "record_bytes": 100,
    "leaf_bytes": 8_000,
    "known_devices": 400_000,
    "busy": 0.5,
    "full": 0.5,
    "retention_days": 100,
    "node_cores": 10,
    "node_memory_gb": 40,
    "node_disk_tb": 10,
    "node_write_mb_s": 100,
    "checkpoint_s": 1_000,
    "broker_disk_tb": 1,
    "kafka_hours": 100,
    "broker_mb_s": 100,
}
"""Figures that can be reckoned with."""


def of(**more: float) -> Figures:
    found = figures({})
    changed = ROUND | more
    return {name: one._replace(value=changed.get(name, one.value)) for name, one in found.items()}


def test_one_machine_carries_a_small_fleet() -> None:
    found = plan(20_000, 60, of())
    assert (found.worker_count, found.node_count, found.coordinators) == (2, 1, 0)
    assert (found.broker_count, found.partitions, found.clusters) == (3, 6, 1)
    assert max(need.machines for need in found.nodes) < 1


def test_six_million_devices_a_minute_as_reckoned_by_hand() -> None:
    found = plan(6_000_000, 60, of())
    assert found.rate == 100_000
    # 100,000 x 5 us = 0.5 cores, half of each; 3,000,000 of a stream / 400,000
    assert [need.machines for need in found.workers] == [1, 7.5]
    assert (found.worker_count, found.partitions) == (8, 18)
    # WAL: 100,000 x 200 B = 20 MB/s, and 6,000,000 pages of 8,000 B in 1,000 s = 48 MB/s
    assert found.wal_mb_s == pytest.approx(68)
    # and the pages once more, and 100,000 x (150 + 100) B = 25 MB/s
    assert found.written_mb_s == pytest.approx(68 + 48 + 25)
    # a day: 8.64e9 readings x 100 B; 100 such days and two of 150 B
    assert found.day_tb == pytest.approx(0.864)
    assert found.disk_tb == pytest.approx(86.4 + 2 * 1.296)
    # CPU: 0.4 cores / 0.5 / 10; memory: 48 / 0.5 / 40; writing: 141 / 0.5 / 100; disk: 88.992 / 5
    machines = [need.machines for need in found.nodes]
    assert machines == pytest.approx([0.08, 2.4, 2.82, 17.7984])
    assert (limit(found.nodes).resource, found.node_count) == ("disk", 18)
    # coordinator: 100,000 x 2 us / 0.5
    assert (found.coordinator_cores, found.coordinators, found.clusters) == (0.4, 1, 1)
    # every vehicle once a minute: 50,000 x 100 us
    assert found.rollup_cores == pytest.approx(5)
    # Kafka: 100,000 x 100 B x 3 x 360,000 s = 10.8 TB / 0.5 TB a broker
    assert found.kafka_tb == pytest.approx(10.8)
    assert found.broker_count == 22


def test_twice_the_devices_take_twice_of_all_that_grows() -> None:
    one, two = plan(6_000_000, 60, of()), plan(12_000_000, 60, of())
    sums = ("wal_mb_s", "written_mb_s", "disk_tb", "kafka_tb", "coordinator_cores", "rollup_cores")
    for name in ("rate", *sums):
        assert getattr(two, name) == pytest.approx(2 * getattr(one, name))
    for kind in ("workers", "nodes"):
        halves = [2 * need.machines for need in getattr(one, kind)]
        assert [need.machines for need in getattr(two, kind)] == pytest.approx(halves)


def test_pages_are_written_no_oftener_than_readings_come() -> None:
    hourly = plan(3_600_000, 3600, of())
    assert hourly.wal_mb_s == pytest.approx(1_000 * (200 + 8_000) / 1e6)


def test_a_coordinator_that_is_too_slow_makes_several_clusters() -> None:
    found = plan(6_000_000, 60, of(coordinator_us=120))
    assert found.coordinator_cores == pytest.approx(24)
    assert (found.clusters, found.coordinators) == (3, 3)


def test_costs_are_the_machines_at_their_prices() -> None:
    priced = of(price_core=10, price_memory_gb=2, price_disk_tb=100, copies=2)
    found = plan(20_000, 60, priced)
    by_kind = {bill.what: bill for bill in bills(found, priced)}
    assert set(by_kind) == {"workers", "nodes", "brokers", "API"}
    assert by_kind["nodes"].machines == 2
    assert by_kind["nodes"].cost == 2 * (10 * 10 + 40 * 2 + 10 * 100)
    assert by_kind["workers"].cost == pytest.approx(2 * (10 + 0.5 * 2))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("busy", 0, "a share is above 0 and at most 1"),
        ("full", 1.5, "a share is above 0 and at most 1"),
        ("worker_us", -1, "has to be more than 0"),
        ("node_cores", 0, "has to be more than 0"),
        ("node_disk_tb", "nan", "has to be more than 0"),
        ("copies", 1.5, "a number of whole ones"),
        ("replication", 4, "at most 3"),
        ("price_core", -1, "has to be 0 or more"),
        ("speed", 1, "there is no figure speed"),
        ("worker_us", '"five"', "is to be a number"),
        ("worker_us", "", "Invalid value"),
    ],
)
def test_an_impossible_figure_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, value: object, said: str
) -> None:
    own = tmp_path / "own.toml"
    own.write_text(f"{name} = {value}\n")
    words = ["model", "--devices", "1000", "--interval", "60", "--figures", str(own)]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert name in error or said == "Invalid value"
    assert said in error


@pytest.mark.parametrize(
    ("devices", "interval_s"), [(0, 60), (-5, 60), (10, 0), (10, -1), (10, float("nan"))]
)
def test_an_impossible_fleet_is_refused(devices: int, interval_s: float) -> None:
    with pytest.raises(BenchError, match=r"--(devices|interval)"):
        plan(devices, interval_s, of())


def test_measured_figures_come_before_the_models_own_and_ones_own_before_both(
    tmp_path: Path,
) -> None:
    median = {"single": {"worker_cpu_us": 7.5, "wal_bytes": 210}}
    parts: Parts = {"drain": {"median": median, "options": {"devices": 500_000}}}
    own = tmp_path / "own.toml"
    own.write_text("wal_bytes = 300\nprice_core = 12.5\n")
    found = figures(parts, own)
    assert (found["worker_us"].value, found["worker_us"].source) == (7.5, "measured: drain")
    assert (found["wal_bytes"].value, found["wal_bytes"].source) == (300, f"given in {own}")
    assert found["price_core"].value == 12.5
    assert found["postgres_us"].source.startswith("bench drain")
    parts["drain"]["options"]["devices"] = 10_000
    assert figures(parts)["worker_us"].source.startswith("bench drain"), "a batch flatters few"


def test_the_table_says_what_each_number_rests_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["model", "--devices", "10000000", "--interval", "60"]
    assert main([*words, "--results", str(tmp_path / "none.json")]) == 0
    table = capsys.readouterr().out
    for name, figure in figures({}).items():
        assert f"{name} " in table
        assert figure.source in table
    assert "166,667" in table
    assert "no prices given" in table


def test_what_was_measured_stands_beside_what_is_modelled() -> None:
    used = {"worker_cpu_us": 5, "postgres_cpu_us": 4, "kafka_cpu_us": 1}
    machine = {"machine": {"cores": 4}}
    scale = {
        "1": used | {"readings_s": 150_000, "workers": 1},
        "3": used | {"readings_s": 200_000, "workers": 3, "worker_cpu_us": 9},
    }
    dearer = used | {"postgres_cpu_us": 14, "nodes": 2}
    nodes = {
        "plain": used | {"readings_s": 150_000, "workers": 1},
        "2 nodes": dearer | {"readings_s": 100_000, "workers": 1},
        "2 nodes, more": dearer | {"readings_s": 100_000, "workers": 3},
    }
    parts = {"scale": machine | {"median": scale}, "nodes": machine | {"median": nodes}}
    _, _, *rows, _ = checked(parts)
    assert [row.split()[-3:] for row in rows] == [
        ["200,000", "150,000", "0.75"],  # a core / 5 us
        ["400,000", "200,000", "0.50"],  # four cores / 10 us
        ["200,000", "150,000", "0.75"],
        ["200,000", "100,000", "0.50"],
        ["200,000", "100,000", "0.50"],  # four cores / 20 us
    ]
    assert checked({"scale": machine | {"median": {"1": {"readings_s": 1}}}}) == []


def test_a_reading_is_as_large_in_kafka_as_the_model_has_it() -> None:
    sent = []
    for stream in STREAMS.values():
        readings = BenchReadings(stream, devices=1_000, start=datetime(2026, 1, 31, tzinfo=UTC))
        batch = BatchBuilder(BATCH_BYTES, 0, is_transactional=False)
        for device in range(1_000):
            fields = readings.minute(5)(device)
            value = as_json(stream)(fields).encode()
            if (
                batch.append(timestamp=1_769_817_900_000, key=fields[0].encode(), value=value)
                is None
            ):
                break
        batch.close()
        sent.append(len(batch._build()) / device)
    assert sum(sent) / len(sent) == pytest.approx(figures({})["record_bytes"].value, rel=0.02)
