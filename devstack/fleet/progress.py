"""The progress of a running fleet: for people on stderr, for programs as JSON on stdout."""

import sys
import time

import orjson
from rich.console import Console
from rich.status import Status

from devstack.fleet.pace import SimulatedClock
from devstack.fleet.simulation import SimulatedFleet
from devstack.messages import say
from schemas.streams.times import format_micros

JSON_EVERY_S = 0.5
LINE_EVERY_S = 5.0
STATUS_EVERY_S = 0.2


class TextLines:
    """Prints a line every few seconds; on a terminal it is one line that changes."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._status = Status("the fleet starts", console=console) if console.is_terminal else None
        self._every_s = STATUS_EVERY_S if self._status else LINE_EVERY_S
        self._next = 0.0

    def __enter__(self) -> "TextLines":
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status:
            self._status.stop()

    def __call__(self, fleet: SimulatedFleet, clock: SimulatedClock) -> None:
        """Print the progress, unless it was printed a moment ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._every_s
        doing = "live" if clock.live else "catching up with the clock"
        text = f"{fleet.truth.sent:,} readings up to {format_micros(fleet.now)[:19]}Z, {doing}"
        if self._status:
            self._status.update(text)
        else:
            say(text)


class JsonLines:
    """Prints an object a line, `{"sent", "time", "live"}`, for the program that runs the fleet."""

    def __init__(self) -> None:
        self._next = 0.0

    def __enter__(self) -> "JsonLines":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, fleet: SimulatedFleet, clock: SimulatedClock) -> None:
        """Print the progress, unless it was printed a moment ago."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + JSON_EVERY_S
        now = {"sent": fleet.truth.sent, "time": format_micros(fleet.now), "live": clock.live}
        sys.stdout.write(orjson.dumps(now).decode() + "\n")
        sys.stdout.flush()
