"""Signals that ask the demo to end: at once while it starts, in good order once it runs.

The first one during the run is only noted, so that the books can still be checked; a second one
ends that, too. Cleaning up is never interrupted.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Raised on the main thread: clean up and end."""


class Interrupt:
    """The handling of signals, for as long as it is entered."""

    def __init__(self) -> None:
        self.asked = False
        """Whether the run is to end."""
        self._patient = False

    def __enter__(self) -> Self:
        hangup_ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # under nohup
        numbers = END_SIGNALS[:2] if hangup_ignored else END_SIGNALS
        self._before = {number: signal.signal(number, self._take) for number in numbers}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def patient(self) -> Iterator[None]:
        """In here the first signal only sets `asked`."""
        self._patient = True
        try:
            yield
        finally:
            self._patient = False

    def ignore(self) -> None:
        """From here on nothing interrupts."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._patient and not self.asked:
            self.asked = True
            return
        self.ignore()
        raise Interrupted
