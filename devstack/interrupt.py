"""Signals that ask a command to end: they raise Interrupted on the main thread.

A command that still has something to check at its end runs inside `patient`, where the first signal
is only noted and the second one raises. Cleaning up is never interrupted.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from devstack.errors import Interrupted

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED_STATUS = 130
"""The exit status of a command that a signal ended before its time."""


class Interrupt:
    """The handling of signals, for as long as it is entered."""

    def __init__(self) -> None:
        self.asked = False
        """Whether a signal has asked the run to end."""
        self._patient = False

    def __enter__(self) -> Self:
        # nohup starts a command with SIGHUP ignored, and it has to stay so.
        hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        numbers = END_SIGNALS[:2] if hangup_ignored else END_SIGNALS
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """Within this block the first signal only sets `asked`."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def ignore(self) -> None:
        """From here on no signal interrupts the process any more."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._patient and not self.asked:
            self.asked = True
            return
        self.ignore()
        raise Interrupted
