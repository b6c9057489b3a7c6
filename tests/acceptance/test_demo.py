"""The demo as a stranger runs it: it proves itself, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.rights import administrator
from tests.workers import ROOT, wait_until

LIMIT_S = 240
ENDS_WITHIN_S = 30.0


class DemoProcess:
    """A demo with its output in files, so that nobody has to read along."""

    def __init__(self, directory: Path, environment: dict[str, str], *arguments: str) -> None:
        self._output, self._errors = directory / "output", directory / "errors"
        own = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("KAFKA_", "DB_"))
        }
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "devstack", "demo", *arguments],
                env={**own, **environment},
                cwd=ROOT,
                stdout=output,
                stderr=errors,
            )
        self.seen: dict[int, psutil.Process] = {}

    @property
    def output(self) -> str:
        return self._output.read_text()

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def look(self) -> bool:
        """Remembers everything it started; true once it has ended."""
        if self.process.poll() is not None:
            return True
        for child in psutil.Process(self.process.pid).children(recursive=True):
            self.seen[child.pid] = child
        return False

    def wait_for(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Waits, and fails at once when it ends before."""

        def done() -> bool:
            ended = self.look()
            return condition() or ended

        wait_until(done, what, patience_s=limit_s)
        assert condition(), f"ended before: {what}\n{self.output}\n{self.errors}"

    def left(self) -> list[psutil.Process]:
        """What it started and what still runs."""
        return [
            child
            for child in self.seen.values()
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        ]


def test_a_short_demo_balances_and_leaves_nothing(tmp_path: Path) -> None:
    demo = DemoProcess(tmp_path, {}, "--seconds", "20")
    demo.wait_for(lambda: demo.process.poll() is not None, "the demo ends by itself")
    assert demo.process.returncode == 0, demo.output + demo.errors
    lines = demo.output.splitlines()
    assert lines[0].startswith("page ")
    assert any(line.startswith("live: ") for line in lines)
    assert "the books balance" in lines
    assert "Vehicles under 85%" in demo.output
    first = next(n for n, line in enumerate(lines) if line.startswith("ok "))
    assert all(line.startswith("ok ") for line in lines[first:-1])
    assert len(lines[first:-1]) >= 10
    assert lines[-1] == "the demo's books balance: every reading is accounted for"
    assert len(demo.seen) > 6
    assert demo.left() == []


def test_an_interrupt_ends_it_in_good_order(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    demo = DemoProcess(tmp_path, administrator(own_environment))
    demo.wait_for(lambda: re.search(r"stored [1-9]", demo.output) is not None, "it stores")
    demo.process.send_signal(signal.SIGINT)
    demo.wait_for(lambda: demo.process.poll() is not None, "it ends", ENDS_WITHIN_S)
    assert demo.process.returncode == 0, demo.output + demo.errors
    assert "Traceback" not in demo.errors
    assert demo.output.splitlines()[-1].startswith("the demo's books balance")
    assert demo.left() == []


def test_nothing_outlives_a_demo_that_is_killed(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    demo = DemoProcess(tmp_path, administrator(own_environment))
    try:
        demo.wait_for(lambda: "\nAPI " in f"\n{demo.output}" and len(demo.left()) >= 4, "all runs")
    finally:
        demo.process.kill()
        demo.process.wait()
    wait_until(lambda: not demo.left(), "everything has ended", patience_s=ENDS_WITHIN_S)


def test_half_an_environment_is_refused(tmp_path: Path) -> None:
    demo = DemoProcess(tmp_path, {"DB_HOST": "127.0.0.1"})
    demo.wait_for(lambda: demo.process.poll() is not None, "it ends", ENDS_WITHIN_S)
    assert demo.process.returncode == 1
    assert "only DB_HOST is set" in demo.errors
