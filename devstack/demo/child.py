"""A command of the project as a child process, which dies with this one and leaves a log."""

import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from devstack.errors import DevstackError
from devstack.processes import last_lines, launched

ROOT = Path(__file__).parents[2]
KILL_WAIT_S = 10.0


class Child:
    """A running `python -m MODULE ...`; it has to be started on the main thread.

    The kernel kills a child when the thread that started it ends.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        environment: Mapping[str, str],
        log_path: Path,
        *,
        piped: bool = False,
    ) -> None:
        """With `piped`, the caller reads stdout; else it goes to the log like stderr."""
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
        """Whether the process has not ended."""
        return self.process.poll() is None

    def check(self) -> None:
        """Raise DevstackError, with the end of the log, when the process has ended."""
        if not self.running:
            raise DevstackError(
                f"{self.name} ended by itself, status {self.process.returncode}\n{self.log_tail()}"
            )

    def ask_to_stop(self) -> None:
        """Send SIGTERM and return at once."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)

    def end(self, limit_s: float) -> int:
        """Wait for the process to end, kill it after `limit_s`; return its status."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait(KILL_WAIT_S)

    def log_tail(self) -> str:
        """The last lines of the log, indented."""
        return "\n".join(f"    {line}" for line in last_lines(self.log_path))


def read_log(path: Path) -> str:
    """What has been logged so far."""
    return path.read_text(encoding="utf-8", errors="replace").strip()


def output_of(
    name: str, arguments: list[str], environment: Mapping[str, str], log_path: Path, limit_s: float
) -> tuple[int, str]:
    """Run a command to its end; return its status and what it printed.

    Raises DevstackError when it does not end within `limit_s`.
    """
    child = Child(name, arguments, environment, log_path, piped=True)
    try:
        output, _ = child.process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise DevstackError(f"{name} did not end within {limit_s:.0f} s") from None
    finally:
        child.end(0)
    return child.process.returncode, output.decode()
