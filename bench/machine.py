"""The machine and the programs that figures were taken with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.lab import PASSED_ON, Lab
from devstack.jar_lock import read_lock

LIBRARIES = ("aiokafka", "msgspec", "psycopg", "uvicorn", "starlette")


def describe(lab: Lab) -> dict[str, Any]:
    """What a reader needs to compare figures with those of another machine or version."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "kernel": platform.release(),
        "load_at_start": os.getloadavg()[0],
        "python": platform.python_version(),
        "postgresql": _postgresql(lab),
        "kafka": _kafka(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "settings": {name: os.environ[name] for name in PASSED_ON if name in os.environ},
    }


def _postgresql(lab: Lab) -> str:
    with lab.postgres.connect() as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row else "?"


def _kafka() -> str:
    return next(jar.version for jar in read_lock() if jar.artifact.startswith("kafka_"))


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "?"
