"""A command of the project as a child of the demo: it dies with it, and leaves a log."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack.messages import DevstackError
from devstack.processes import launched

ROOT = Path(__file__).parents[2]
LOG_TAIL_LINES = 15
KILL_WAIT_S = 10.0


class Child:
    """A running `python -m MODULE ...`; made on the main thread, as it dies with its thread."""

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log_path: Path,
        *,
        piped: bool = False,
    ) -> None:
        """With `piped`, stdout is for the caller to read; else it goes to the log like stderr."""
        self.name = name
        self.log_path = log_path
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                launched([sys.executable, "-m", *arguments], user=None, directory=ROOT),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if piped else log,
                stderr=log,
                env=dict(environment),
                start_new_session=True,  # out of reach of the terminal's Ctrl-C
            )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def check(self) -> None:
        """Raises DevstackError, with the log's tail, when it ended."""
        if not self.running:
            raise DevstackError(
                f"{self.name} ended by itself, status {self.process.returncode}\n{self.log_tail()}"
            )

    def ask_to_stop(self) -> None:
        """SIGTERM, without waiting."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)

    def end(self, limit_s: float) -> int:
        """Wait for its end, kill it after `limit_s`; returns its status."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(KILL_WAIT_S)

    def log_tail(self) -> str:
        """The last lines it logged."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-LOG_TAIL_LINES:])


def output_of(
    name: str, arguments: list[str], environment: Mapping[str, str], log_path: Path, limit_s: float
) -> tuple[int, str]:
    """Runs a command to its end; returns its status and what it printed."""
    child = Child(name, arguments, environment, log_path, piped=True)
    try:
        output, _ = child.process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise DevstackError(f"{name} did not end within {limit_s:.0f} s") from None
    finally:
        if child.running:
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait(KILL_WAIT_S)
    return child.process.returncode, output.decode()
