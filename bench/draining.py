"""How long workers take to read a backlog, and what that costs.

The time starts when the worker says that it reads from its positions. With several workers it
starts when the last one says so, and what was read before is left out. It ends when a query sees
the last position at the log's end. Only `seconds_with_start` includes the time until Python runs
and the worker has joined its group.
"""

import json
import time
from dataclasses import dataclass
from datetime import datetime

from bench.backlog import Backlog
from bench.checks import wal_bytes
from bench.errors import BenchError
from bench.lab import Environment, Lab
from bench.messages import say
from bench.usage import Cpu, cpu, peak_rss_mb
from bench.watching import LOOK_EVERY_S, STALLED_AFTER_S, Watch
from devstack.demo.child import Child


@dataclass
class Drain:
    """One drain. With several workers, CPU and WAL include what was used before `seconds` began."""

    readings: int
    seconds: float
    seconds_with_start: float
    cpu: Cpu
    wal_bytes: float
    peak_rss_mb: float
    """The largest of all workers."""

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.seconds

    def costs(self) -> dict[str, float]:
        """The figures; CPU and WAL are those of one reading."""
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
    """Start the workers, wait until everything is read, and stop them. Raises BenchError."""
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
    """The CPU that these workers, PostgreSQL and Kafka have used so far."""
    pids = [worker.process.pid for worker in workers]
    return cpu(pids, lab.postgres.pid, lab.stack.service("kafka").pid)


def reads_since(worker: Child, *, last: bool) -> float | None:
    """The Unix time at which the worker first, or last, said that it reads from its positions."""
    found = None
    for line in worker.log_path.read_text(encoding="utf-8").splitlines():
        if '"reading ' in line and "@" in line and line.endswith("}"):
            found = datetime.fromisoformat(json.loads(line)["time"]).timestamp()
            if not last:
                break
    return found
