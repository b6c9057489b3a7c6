"""Processes with their children: how they are started, signalled and frozen together."""

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

Processes = list[psutil.Process]
LAUNCH = Path(__file__).with_name("launch.py")
POLL_S = 0.02
LOG_TAIL_LINES = 15
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
    """The command that runs `command` as `user` in `directory`, and dies with this process."""
    launch = [sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid()), user or "-"]
    return [*launch, str(directory), *command]


def spawned(
    command: list[str], *, user: str | None, directory: Path, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start `command` with its output in `log`; the terminal's Ctrl-C does not reach it."""
    return subprocess.Popen(
        launched(command, user=user, directory=directory),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def wait_until(done: Callable[[], bool], limit_s: float) -> bool:
    """Poll until `done` holds; return False when it does not within `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def tree(pid: int) -> Processes:
    """The process first, then its children and their children."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def all_gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of them runs any more; a zombie does not run."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                return False
    return True


def working_in(directory: Path, program: str) -> Processes:
    """The processes of `program` whose working directory is `directory`, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, is a zombie, or belongs to another user
            if process.name() == program and Path(process.cwd()) == directory:
                found.append(process)
    return found


def signal_all(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that still run, never to a later process with the same id."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def last_lines(log_path: Path) -> list[str]:
    """The last lines of a process's log."""
    lines = log_path.read_text(encoding="utf-8", errors="replace").splitlines()
    return lines[-LOG_TAIL_LINES:]


class Freeze:
    """A process and all its children, stopped until `lift`.

    Stopped children cannot notice that their parent has died, and would outlive this process if it
    were killed. A guard process waits until its stdin closes, which this process's end does, and
    then kills them.
    """

    def __init__(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)  # it must not start children while they are listed
        self._processes = tree(pid)
        signal_all(self._processes, signal.SIGSTOP)
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", KILL_AT_END_OF_PARENT]
            + [str(process.pid) for process in self._processes],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def lift(self) -> None:
        """Let all of them go on, children before parents."""
        self._guard.kill()
        self._guard.wait()
        assert self._guard.stdin is not None
        self._guard.stdin.close()
        signal_all(reversed(self._processes), signal.SIGCONT)
