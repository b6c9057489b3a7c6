"""Progress of long work on stderr: a bar on a terminal, a line every few seconds otherwise."""

import sys
import time

from reporting.command import say
from reporting.logs import as_json

BAR_CHARACTERS = 30
BAR_EVERY_S, LINE_EVERY_S = 0.1, 5.0


class Progress:
    """Counts towards a known total, and shows how far it is."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = max(total, 1)
        self._done = 0
        self._terminal = sys.stderr.isatty() and not as_json()
        self._began = self._shown_at = time.monotonic()

    def advance(self, count: int) -> None:
        """Add `count` to what is done, and show it now and then."""
        self._done += count
        every_s = BAR_EVERY_S if self._terminal else LINE_EVERY_S
        if time.monotonic() - self._shown_at >= every_s:
            self._show()

    def close(self) -> None:
        """Show the final count."""
        self._show()
        if self._terminal:
            print(file=sys.stderr)

    def _show(self) -> None:
        self._shown_at = time.monotonic()
        rate = self._done / max(self._shown_at - self._began, 0.001)
        text = f"{self._what}: {self._done:,} of {self._total:,} ({rate:,.0f}/s)"
        if self._terminal:
            filled = min(self._done * BAR_CHARACTERS // self._total, BAR_CHARACTERS)
            bar = "#" * filled + "-" * (BAR_CHARACTERS - filled)
            print(f"\r[{bar}] {text}", end="", file=sys.stderr, flush=True)
        else:
            say(text)
