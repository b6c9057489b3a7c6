"""One service of the stack as a child process: started, stopped, killed, frozen and thawed."""

import os
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from devstack.errors import DevstackError
from devstack.processes import (
    Freeze,
    Processes,
    all_gone,
    last_lines,
    signal_all,
    spawned,
    tree,
    wait_until,
    working_in,
)

STOP_LIMIT_S = 60.0
KILL_LIMIT_S = 30.0
LEFTOVERS_LIMIT_S = 15.0


class Service(ABC):
    """A service as a child process; it must be controlled from the main thread.

    The kernel kills the child when the thread that started it ends. Every method but `spawn` and
    `ask_to_stop` returns only once it is done, and raises DevstackError when that is impossible.
    """

    stop_signal = signal.SIGTERM
    start_limit_s = 120.0
    user: str | None = None
    program: str
    """The name of its processes, as the kernel shows it."""

    def __init__(self, name: str, port: int, directory: Path, log_path: Path) -> None:
        self.name = name
        self.port = port
        self.directory = directory
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._freeze: Freeze | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Write the settings; return the program and its arguments."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the service serves clients now."""

    @property
    def pid(self) -> int:
        """The process id of its main process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the main process exists, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether it was stopped by `freeze` and not yet thawed."""
        return self._freeze is not None

    def start(self) -> None:
        """Start the service on its port and data; return once it answers."""
        self.spawn()
        self.wait_until_answers()

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        if self.running:
            raise DevstackError(f"{self.name} is running already")
        if threading.current_thread() is not threading.main_thread():
            raise DevstackError(
                f"{self.name} has to be started from the main thread: it dies with its thread"
            )
        if self._freeze is not None:  # somebody else killed it while it was frozen
            self.thaw()
        self._await_leftovers()
        with self.log_path.open("ab") as log:
            self._process = spawned(
                self.command(), user=self.user, directory=self.directory, log=log
            )

    def wait_until_answers(self) -> None:
        """Return once the service answers; kill it when it does not within `start_limit_s`."""
        self.wait_for(self.answers)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; kill the service when it does not in `start_limit_s`."""
        answered = wait_until(lambda: not self.running or condition(), self.start_limit_s)
        if answered and self.running:
            return
        if self.running:
            self.kill()
            raise DevstackError(
                f"{self.name} did not answer within {self.start_limit_s:.0f} s\n{self.log_tail()}"
            )
        raise DevstackError(f"{self.name} ended by itself\n{self.log_tail()}")

    def ask_to_stop(self) -> None:
        """Ask for a clean stop and return at once; do nothing when it is not running."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Stop the service cleanly; return once all its processes have ended."""
        if self.frozen:
            raise DevstackError(f"{self.name} is frozen: thaw it before a clean stop")
        process = self._running()
        processes = tree(process.pid)
        self.ask_to_stop()
        try:
            process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise DevstackError(
                f"{self.name} did not stop within {STOP_LIMIT_S:.0f} s; kill it"
            ) from error
        self._await_gone(processes)

    def kill(self) -> None:
        """Kill all its processes with SIGKILL; return once they have ended."""
        process = self._running()
        os.kill(process.pid, signal.SIGSTOP)  # it must not start children while they are listed
        processes = tree(process.pid)
        signal_all(processes, signal.SIGKILL)
        process.wait(KILL_LIMIT_S)
        if self._freeze is not None:
            self._freeze.lift()
            self._freeze = None
        self._await_gone(processes)

    def freeze(self) -> None:
        """Stop all its processes with SIGSTOP."""
        if self.frozen:
            raise DevstackError(f"{self.name} is frozen already")
        self._freeze = Freeze(self._running().pid)

    def thaw(self) -> None:
        """Let a frozen service go on with SIGCONT."""
        if self._freeze is None:
            raise DevstackError(f"{self.name} is not frozen")
        self._freeze.lift()
        self._freeze = None

    def log_tail(self) -> str:
        """The last lines of its log, and the path of the log."""
        return "\n".join([*last_lines(self.log_path), f"(the log: {self.log_path})"])

    def _await_gone(self, processes: Processes) -> None:
        if not wait_until(lambda: all_gone(processes), KILL_LIMIT_S):
            raise DevstackError(
                f"processes of {self.name} are still there after {KILL_LIMIT_S:.0f} s"
            )

    def _await_leftovers(self) -> None:
        """Wait until the processes of an earlier run, which was killed, have ended."""
        processes = working_in(self.directory, self.program)
        if not wait_until(lambda: all_gone(processes), LEFTOVERS_LIMIT_S):
            pids = ", ".join(str(process.pid) for process in processes)
            raise DevstackError(f"processes of an earlier {self.name} still run: {pids}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise DevstackError(f"{self.name} is not running")
        return self._process
