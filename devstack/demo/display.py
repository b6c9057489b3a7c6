"""The live summary: a table that changes on a terminal, and lines elsewhere.

There is a line every few seconds, and one whenever the demo begins to do something else.
"""

import time
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from devstack.demo.figures import DemoFigures

LINE_EVERY_S = 3.0


class Display:
    """Shows the figures on a console for as long as it is entered."""

    def __init__(self, console: Console, urls: dict[str, str]) -> None:
        self._console = console
        self._urls = urls
        self._next_line = 0.0
        self._doing = ""
        self._live = (
            Live(console=console, auto_refresh=False, transient=True)
            if console.is_terminal
            else None
        )

    def __enter__(self) -> Self:
        for name, url in self._urls.items():
            self._console.print(f"{name:<20} {url}", highlight=False, soft_wrap=True)
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, figures: DemoFigures, doing: str) -> None:
        """Show the figures; `doing` says in a few words what the demo does at the moment."""
        if self._live:
            self._live.update(_table(figures, doing), refresh=True)
        elif doing != self._doing or time.monotonic() >= self._next_line:
            self._doing = doing
            self._next_line = time.monotonic() + LINE_EVERY_S
            text = ", ".join(f"{name} {value}" for name, value in _rows(figures))
            self._console.print(f"{doing}: {text}", highlight=False, soft_wrap=True)


def _table(figures: DemoFigures, doing: str) -> Table:
    table = Table(title=doing, title_justify="left", show_header=False, min_width=60)
    for name, value in _rows(figures):
        table.add_row(name, value)
    return table


def _rows(figures: DemoFigures) -> list[tuple[str, str]]:
    reasons = ", ".join(f"{reason} {n:,}" for reason, n in sorted(figures.rejected.items()) if n)
    rejected = sum(figures.rejected.values())
    time_text = (figures.simulated_time or "?")[:19].replace("T", " ")
    worst = figures.worst
    return [
        ("fleet's time", time_text + (" (live)" if figures.live else "")),
        ("sent", f"{figures.sent:,}"),
        ("stored", f"{figures.stored:,}"),
        ("duplicates", f"{figures.duplicate:,}"),
        ("rejected", f"{rejected:,}" + (f" ({reasons})" if reasons else "")),
        ("lag", "?" if figures.lag is None else f"{figures.lag:,} records"),
        ("latency", "?" if figures.age_s is None else f"{figures.age_s * 1000:,.0f} ms"),
        ("worst efficiency", f"{worst[1]:.1%} ({worst[0]})" if worst else "?"),
    ]
