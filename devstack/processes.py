"""Processes and what came from them: launched to die with us, signalled and frozen as a whole."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

LAUNCH = Path(__file__).with_name("launch.py")
POLL_S = 0.02
KILL_AT_END_OF_PARENT = """
import os, sys
sys.stdin.buffer.read()
for pid in map(int, sys.argv[1:]):
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        pass
"""


def launched(command: list[str], *, user: str | None, directory: Path) -> list[str]:
    """`command`, run by `user` in `directory` and dying with this process."""
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), user or "-"]
    return [*launch, str(directory), *command]


def spawned(
    command: list[str], *, user: str | None, directory: Path, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Starts `command`, out of reach of the terminal's Ctrl-C, with its output in `log`."""
    return subprocess.Popen(
        launched(command, user=user, directory=directory),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_until(done: Callable[[], bool], limit_s: float) -> bool:
    """Polls `done` until it holds; False when it did not within `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def tree(pid: int) -> list[psutil.Process]:
    """The process first, then everything that came from it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def all_gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none runs any more; one that nobody has reaped yet is gone too."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def working_in(directory: Path, program: str) -> list[psutil.Process]:
    """The processes of `program` that have `directory` as their own, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone meanwhile, a zombie, or not ours to look at
            if process.name() == program and Path(process.cwd()) == directory:
                found.append(process)
    return found


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Sends a signal to those that are still there, never to a later process of the same number."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


class Freeze:
    """A process and all its children, stopped until `lift`.

    Frozen children can't notice that their parent died, and would outlive us when we are killed:
    a guard process waits for our end (its stdin closes) and kills them all.
    """

    def __init__(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)  # first of all: no new children while they are counted
        self._processes = tree(pid)
        signal_all(self._processes, signal.SIGSTOP)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", KILL_AT_END_OF_PARENT]
            + [str(process.pid) for process in self._processes],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def lift(self) -> None:
        """Lets them all go on, children before parents."""
        self._guard.kill()
        self._guard.wait()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        signal_all(reversed(self._processes), signal.SIGCONT)
