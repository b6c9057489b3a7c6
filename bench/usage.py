"""What processes used: CPU time with that of their children, and peak memory."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil


class Cpu(NamedTuple):
    """CPU seconds since the processes were started."""

    worker: float
    postgres: float
    kafka: float

    def since(self, before: "Cpu") -> "Cpu":
        """The seconds that were used since `before`."""
        return Cpu(*(now - then for now, then in zip(self, before, strict=True)))


def cpu(workers: list[int], postgres: int, kafka: int) -> Cpu:
    """The CPU seconds of the processes with these ids; those of the workers are added up."""
    return Cpu(sum(cpu_s(pid) for pid in workers), cpu_s(postgres), cpu_s(kafka))


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its children, also of those that have ended."""
    process = psutil.Process(pid)
    running = 0.0
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            running += sum(child.cpu_times()[:2])
    return running + float(sum(process.cpu_times()[:4]))


def peak_rss_mb(pid: int) -> float:
    """The peak resident memory of the process (VmHWM), in MB of a million bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ValueError(f"no VmHWM in /proc/{pid}/status")
