"""How long workers take for what lies in Kafka, and what that costs.

The clock starts when the worker says that it reads from its positions (with several: when the last
of them does; what was read before that is left out) and stops when a query sees the last position
at the log's end. Starting Python and joining the group counts in `seconds_with_start` only.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime

from bench.backlog import Backlog
from bench.checks import wal_bytes
from bench.lab import BenchError, Environment, Lab, say
from bench.usage import Cpu, cpu, peak_rss_mb
from bench.watching import LOOK_EVERY_S, STALLED_AFTER_S, Watch
from devstack.demo.child import Child


@dataclass
class Drain:
    """One drain; CPU and WAL are those between the two instants, of one worker."""

    readings: int
    seconds: float
    seconds_with_start: float
    cpu: Cpu
    wal_bytes: float
    peak_rss_mb: float
    """The largest of the workers'."""

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.seconds

    def costs(self) -> dict[str, float]:
        """All of it a reading, as figures to print."""
        us = {f"{name}_cpu_us": s * 1e6 / self.readings for name, s in self.cpu._asdict().items()}
        return {
            "readings_s": self.rate,
            **us,
            "wal_bytes": self.wal_bytes / self.readings,
            "peak_rss_mb": self.peak_rss_mb,
            "seconds": self.seconds,
            "seconds_with_start": self.seconds_with_start,
        }


def drain(lab: Lab, environment: Environment, backlog: Backlog, *, workers: int = 1) -> Drain:
    """Start the workers, wait until everything is read, stop them."""
    with Watch(lab, environment, backlog.ends) as watch:
        read_before, wal_before = watch.read, wal_bytes(lab, environment)
        began = time.time()
        children = start_workers(lab, environment, workers)
        cpu_before = cpu_of(lab, children)
        done_at = watch.until_done(children)
        used = cpu_of(lab, children).since(cpu_before)
        written = wal_bytes(lab, environment) - wal_before
        peak = max(peak_rss_mb(child.process.pid) for child in children)
        starts = [reads_since(child, last=workers > 1) for child in children]
        for child in children:
            lab.stop(child)
        start = max(at for at in starts if at is not None)
        readings = watch.read - (watch.read_by(start) if workers > 1 else read_before)
    if not readings:
        raise BenchError("all was read before the last worker was there: take a larger backlog")
    return Drain(readings, done_at - start, done_at - began, used, written, peak)


def start_workers(lab: Lab, environment: Environment, workers: int = 1) -> list[Child]:
    """Start workers; return once the first of them reads."""
    with lab.connect(environment) as connection:
        connection.execute("CHECKPOINT")
    children = [lab.start(["ingest_worker"], environment) for _ in range(workers)]
    say(f"worker {', '.join(str(child.process.pid) for child in children)} started")
    began = time.monotonic()
    while not any(reads_since(child, last=False) for child in children):
        if time.monotonic() - began > STALLED_AFTER_S:
            raise BenchError(f"the worker does not begin to read\n{children[0].log_tail()}")
        for child in children:
            child.check()
        time.sleep(LOOK_EVERY_S)
    return children


def cpu_of(lab: Lab, workers: list[Child]) -> Cpu:
    """CPU used so far by these workers, PostgreSQL and Kafka."""
    pids = [worker.process.pid for worker in workers]
    return cpu(pids, lab.postgres.pid, lab.stack.service("kafka").pid)


def reads_since(worker: Child, *, last: bool) -> float | None:
    """When the worker first, or last, said that it reads from its positions; Unix time."""
    found = None
    for line in worker.log_path.read_text(encoding="utf-8").splitlines():
        if '"reading ' in line and "@" in line and line.endswith("}"):
            found = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
            if not last:
                break
    return found
