"""What processes used: CPU time with all their children's, and most memory held at once."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil


class Cpu(NamedTuple):
    """CPU seconds so far."""

    worker: float
    postgres: float
    kafka: float

    def since(self, before: "Cpu") -> "Cpu":
        """What was used in between."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))


def cpu(workers: list[int], postgres: int, kafka: int) -> Cpu:
    """The CPU seconds of these processes, by process id; the workers' together."""
    return Cpu(sum(cpu_s(pid) for pid in workers), cpu_s(postgres), cpu_s(kafka))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all it started, those that have ended included."""
    process = psutil.Process(pid)
    running = 0.0
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            running += sum(child.cpu_times()[:2])
    return running + float(sum(process.cpu_times()[:4]))


def peak_rss_mb(pid: int) -> float:
    """The most resident memory the process ever had (VmHWM), in MB of a million bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no VmHWM in /proc/{pid}/status")
