"""One service of the stack as a child process: started, stopped, killed, frozen and thawed."""

import os
import signal
import subprocess
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from devstack.errors import DevstackError
from devstack.processes import Freeze, all_gone, signal_all, spawned, tree, wait_until, working_in

STOP_LIMIT_S = 60.0
KILL_LIMIT_S = 30.0
LEFTOVERS_LIMIT_S = 15.0
LOG_TAIL_LINES = 15


class Service(ABC):
    """A service under our control; all calls belong on the main thread, as its child dies with it.

    Every method but `spawn` and `ask_to_stop` returns only once what it says is done, and raises
    DevstackError when it can't be.
    """

    stop_signal = signal.SIGTERM
    start_limit_s = 120.0
    user: str | None = None
    program: str  # the name of its processes

    def __init__(self, name: str, port: int, directory: Path, log_path: Path) -> None:
        self.name = name
        self.port = port
        self.directory = directory
        self.log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._freeze: Freeze | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments, settings brought up to date."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it does its work for clients now."""

    @property
    def pid(self) -> int:
        """The process id of its main process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether its main process is there, frozen or not."""
        return self._process is not None and self._process.poll() is None

    @property
    def frozen(self) -> bool:
        """Whether `freeze` holds it."""
        return self._freeze is not None

    def start(self) -> None:
        """Starts it on its port and data; returns once it answers."""
        self.spawn()
        self.wait_until_answers()

    def spawn(self) -> None:
        """Starts the process without waiting for it."""
        if self.running:
            raise DevstackError(f"{self.name} is running already")
        if threading.current_thread() is not threading.main_thread():
            raise DevstackError(
                f"{self.name} has to be started from the main thread: it dies with its thread"
            )
        if self._freeze is not None:  # killed from elsewhere while frozen
            self.thaw()
        self._await_leftovers()
        with self.log_path.open("ab") as log:
            self._process = spawned(
                self.command(), user=self.user, directory=self.directory, log=log
            )

    def wait_until_answers(self) -> None:
        """Returns once it answers; one that stays silent for `start_limit_s` is killed."""
        self.wait_for(self.answers)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Returns once `condition`, a question to it, holds; killed as in `wait_until_answers`."""
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
        """Asks for a clean stop, without waiting for it; does nothing to one that isn't running."""
        if self._process is not None:
            self._process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Stops it cleanly; returns once every process of it is gone."""
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
        if not wait_until(lambda: all_gone(processes), KILL_LIMIT_S):
            raise DevstackError(
                f"processes of {self.name} are still there after {KILL_LIMIT_S:.0f} s"
            )

    def kill(self) -> None:
        """Kills all of it with -9; returns once every process of it is gone."""
        process = self._running()
        os.kill(process.pid, signal.SIGSTOP)  # no new children while they are counted
        processes = tree(process.pid)
        signal_all(processes, signal.SIGKILL)
        process.wait(KILL_LIMIT_S)
        if self._freeze is not None:
            self._freeze.lift()
            self._freeze = None
        if not wait_until(lambda: all_gone(processes), KILL_LIMIT_S):
            raise DevstackError(
                f"processes of {self.name} are still there after {KILL_LIMIT_S:.0f} s"
            )

    def freeze(self) -> None:
        """Stops all of it in its tracks with SIGSTOP."""
        if self.frozen:
            raise DevstackError(f"{self.name} is frozen already")
        self._freeze = Freeze(self._running().pid)

    def thaw(self) -> None:
        """Lets a frozen service go on."""
        if self._freeze is None:
            raise DevstackError(f"{self.name} is not frozen")
        self._freeze.lift()
        self._freeze = None

    def log_tail(self) -> str:
        """The last lines of its log, and where the rest is."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join([*lines[-LOG_TAIL_LINES:], f"(the log: {self.log_path})"])

    def _await_leftovers(self) -> None:
        """Waits for what is left of a run that was killed: it dies soon, but not at once."""
        processes = working_in(self.directory, self.program)
        if not wait_until(lambda: all_gone(processes), LEFTOVERS_LIMIT_S):
            pids = ", ".join(str(process.pid) for process in processes)
            raise DevstackError(f"processes of an earlier {self.name} still run: {pids}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise DevstackError(f"{self.name} is not running")
        return self._process
