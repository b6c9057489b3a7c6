"""How many of everything a fleet takes: arithmetic from figures, without any service.

Steady readings may take the share `busy` of a core, of memory and of a disk's rate. Each number is
the least whole one for which no resource is beyond that.
"""

import math
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

from bench.errors import BenchError
from bench.model_figures import Figures
from ingest_worker.housekeeping.rounds import ROLLUP_BUDGET_S, ROLLUP_INTERVAL_S

DAY_S = 86_400
MB, GB, TB = 1e6, 1e9, 1e12
STREAMS = 2
LEAST_WORKERS, LEAST_BROKERS = 2, 3
"""One may be away; and three brokers are a quorum."""
ROLLUP_SHARE = ROLLUP_BUDGET_S / (ROLLUP_BUDGET_S + ROLLUP_INTERVAL_S)
"""Of its time that housekeeping sums hours. Each round takes what came in since the last one."""
STEP = 6
"""Partitions come in multiples of this: two, three or six workers have as many each."""
OPEN_DAYS = 2
"""Days that are not packed yet: today, and the one whose key is being built anew."""


class Need(NamedTuple):
    """How many machines one resource would take, and why."""

    resource: str
    machines: float
    why: str


@dataclass(frozen=True)
class Plan:
    """What a fleet takes."""

    rate: float
    """Readings a second."""
    workers: list[Need]
    nodes: list[Need]
    brokers: list[Need]
    partitions: int
    """Of each topic."""
    coordinator_cores: float
    """Of the coordinator of one cluster of all nodes; 0 with one node."""
    clusters: int
    rollup_cores: float
    """Of one connection, which works ROLLUP_SHARE of the time, if every vehicle is in a session."""
    wal_mb_s: float
    """Of all nodes together."""
    written_mb_s: float
    disk_tb: float
    day_tb: float
    """What a day leaves when it is packed."""
    kafka_tb: float

    @property
    def worker_count(self) -> int:
        """Workers."""
        return max(LEAST_WORKERS, _most(self.workers))

    @property
    def node_count(self) -> int:
        """Nodes that hold readings, without standbys."""
        return max(_most(self.nodes), self.clusters)

    @property
    def coordinators(self) -> int:
        """Nodes beside them, one a cluster: none for a PostgreSQL without Citus."""
        return self.clusters if self.node_count > 1 else 0

    @property
    def broker_count(self) -> int:
        """Brokers."""
        return _most(self.brokers)


def limit(needs: list[Need]) -> Need:
    """What takes the most machines."""
    return max(needs, key=lambda need: need.machines)


def plan(devices: int, interval_s: float, figures: Figures) -> Plan:
    """What so many devices take that each report once an interval. Raises BenchError."""
    if devices < 1:
        raise BenchError(f"--devices {devices}: at least one")
    if not (interval_s > 0 and math.isfinite(interval_s)):
        raise BenchError(f"--interval {interval_s:g}: more than 0 seconds")
    f = {name: figure.value for name, figure in figures.items()}
    if f["replication"] > LEAST_BROKERS:
        raise BenchError(f"replication={f['replication']:g}: at most {LEAST_BROKERS}")
    rate = devices / interval_s
    wal, written = _writes(devices, rate, f)
    disk_tb = _disk_tb(rate, f)
    nodes = _nodes(devices, rate, written, disk_tb, f)
    several = _most(nodes) > 1
    coordinator = rate * f["coordinator_us"] / 1e6 / f["busy"] if several else 0.0
    workers = _workers(devices, rate, f)
    kafka_tb = rate * f["record_bytes"] * f["replication"] * f["kafka_hours"] * 3600 / TB
    return Plan(
        rate=rate,
        workers=workers,
        nodes=nodes,
        brokers=_brokers(rate, kafka_tb, f),
        partitions=_partitions(max(LEAST_WORKERS, _most(workers))),
        coordinator_cores=coordinator,
        clusters=max(1, math.ceil(coordinator / f["node_cores"])),
        rollup_cores=rate / STREAMS * f["rollup_us"] / 1e6,
        wal_mb_s=wal,
        written_mb_s=written,
        disk_tb=disk_tb,
        day_tb=rate * DAY_S * f["packed_bytes"] / TB,
        kafka_tb=kafka_tb,
    )


def _workers(devices: int, rate: float, f: dict[str, float]) -> list[Need]:
    cores = rate * f["worker_us"] / 1e6 / f["busy"]
    known = devices / STREAMS / f["known_devices"]
    return [
        Need("CPU", cores, "readings/s x worker_us / busy"),
        Need("newest times", known, "devices of a stream / known_devices, with the id as key"),
    ]


def _writes(devices: int, rate: float, f: dict[str, float]) -> tuple[float, float]:
    """MB/s of WAL, and of all that is written.

    Between two checkpoints a device's page of the key goes once into the WAL as a whole, and once
    to its file; a row's bytes are written when it comes, and at most once more when its day is
    packed.
    """
    pages = min(devices / f["checkpoint_s"], rate) * f["leaf_bytes"]
    wal = rate * f["wal_bytes"] + pages
    return wal / MB, (wal + pages + rate * (f["day_bytes"] + f["packed_bytes"])) / MB


def _disk_tb(rate: float, f: dict[str, float]) -> float:
    kept = f["packed_bytes"] * f["retention_days"] + f["day_bytes"] * OPEN_DAYS
    return rate * DAY_S * kept / TB


def _nodes(
    devices: int, rate: float, written: float, disk_tb: float, f: dict[str, float]
) -> list[Need]:
    def needs(us: float) -> list[Need]:
        cores, pages_gb = rate * us / 1e6, devices * f["leaf_bytes"] / GB
        return [
            Need("CPU", cores / f["busy"] / f["node_cores"], "readings/s x its CPU / busy"),
            Need("memory", pages_gb / f["busy"] / f["node_memory_gb"], "leaf_bytes / busy"),
            Need("writing", written / f["busy"] / f["node_write_mb_s"], "MB/s written / busy"),
            Need("disk", disk_tb / f["full"] / f["node_disk_tb"], "TB kept / full"),
        ]

    one = needs(f["postgres_us"])
    return one if _most(one) == 1 else needs(f["node_us"])


def _brokers(rate: float, kafka_tb: float, f: dict[str, float]) -> list[Need]:
    mb_s = rate * f["record_bytes"] * f["replication"] / MB
    return [
        Need("quorum", LEAST_BROKERS, "three"),
        Need("writing", mb_s / f["busy"] / f["broker_mb_s"], "MB/s x replication / busy"),
        Need("disk", kafka_tb / f["full"] / f["broker_disk_tb"], "TB kept / full"),
    ]


def _partitions(workers: int) -> int:
    """Two for each worker of each topic: so workers may be doubled."""
    return STEP * math.ceil(2 * workers / STEP)


def _most(needs: list[Need]) -> int:
    return max(1, math.ceil(limit(needs).machines))


def rate_on_one_machine(workers: int, cores: int, *, worker_us: float, all_us: float) -> float:
    """Readings a second of a backlog when workers, PostgreSQL and Kafka share a machine's cores.

    From the CPU that one reading takes of a worker, and of all of them.
    """
    return min(workers * 1e6 / worker_us, cores * 1e6 / all_us)


class Sizes(NamedTuple):
    """What one machine has; or what one of each costs a month."""

    core: float
    memory_gb: float
    disk_tb: float


class Bill(NamedTuple):
    """What the machines of one kind cost a month."""

    what: str
    machines: int
    each: Sizes
    cost: float


def bills(found: Plan, figures: Figures) -> list[Bill]:
    """All machines, by kind."""
    f = {name: figure.value for name, figure in figures.items()}
    copies = int(f["copies"])
    node = Sizes(f["node_cores"], f["node_memory_gb"], f["node_disk_tb"])
    broker = Sizes(f["broker_cores"], f["broker_memory_gb"], f["broker_disk_tb"])
    kinds = [
        ("workers", found.worker_count, Sizes(1, f["worker_mb"] / 1000, 0)),
        ("nodes", found.node_count * copies, node),
        ("coordinators", found.coordinators * copies, node),
        ("brokers", found.broker_count, broker),
        ("API", int(f["api_processes"]), Sizes(1, 1, 0)),
    ]
    prices = Sizes(f["price_core"], f["price_memory_gb"], f["price_disk_tb"])
    return [
        Bill(what, count, each, count * sum(map(mul, each, prices)))
        for what, count, each in kinds
        if count
    ]
