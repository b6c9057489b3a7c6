"""How fast simulated time passes: from a start in the past it catches up with the clock, and stays.

A step is due once it lies in the past wholly, so no reading is ever ahead of the clock.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DEFAULT_BACKFILL_H = 24.0


@dataclass(frozen=True)
class Pace:
    """What the command line says about time."""

    interval_s: float = 60.0
    """Simulated seconds between two readings of a device."""
    live_interval_s: float | None = None
    """The same once the clock is caught up with; None = as before."""
    speed: float = 1.0
    """Simulated seconds a second until then; 0 = as fast as can be."""
    backfill_h: float | None = None
    """How long before the clock to start; None = what fits the speed and the run."""
    seconds: float | None = None
    """How long to run; 0 = only until the clock is caught up with, None = until stopped."""

    def backfill(self) -> timedelta:
        """How far in the past to start."""
        if self.backfill_h is not None:
            return timedelta(hours=self.backfill_h)
        if self.speed == 1:
            return timedelta(0)
        if self.speed > 1 and self.seconds:
            return timedelta(seconds=(self.speed - 1) * self.seconds)
        return timedelta(hours=DEFAULT_BACKFILL_H)


class SimulatedClock:
    """Says when the next step is due. Times of day are UTC, `monotonic` is in seconds."""

    def __init__(self, pace: Pace, now: datetime, monotonic: float) -> None:
        self._pace = pace
        self._begun = monotonic
        self.start = (now - pace.backfill()).replace(microsecond=0)
        self.reached = self.start
        self.live = False

    def begin(self, monotonic: float) -> None:
        """The run begins only now; simulated time starts where it was to start."""
        self._begun = monotonic

    @property
    def step_s(self) -> float:
        """How long the next step is."""
        live_s = self._pace.live_interval_s
        return live_s if self.live and live_s else self._pace.interval_s

    def wait_s(self, now: datetime, monotonic: float) -> float:
        """How long until the next step is due; 0 when it is. Turns live when it catches up."""
        if not self.live:
            self.live = self.reached + timedelta(seconds=self._pace.interval_s) > now
        end = self.reached + timedelta(seconds=self.step_s)
        wait_s = (end - now).total_seconds()
        if not self.live and self._pace.speed:
            due_s = (end - self.start).total_seconds() / self._pace.speed
            wait_s = max(wait_s, due_s - (monotonic - self._begun))
        return max(0.0, wait_s)

    def stepped(self) -> None:
        """The step was made."""
        self.reached += timedelta(seconds=self.step_s)

    def over(self, monotonic: float) -> bool:
        """Whether the run is as long as it was to be."""
        if self._pace.seconds is None:
            return False
        if self._pace.seconds == 0:
            return self.live
        return monotonic - self._begun >= self._pace.seconds

    def left_s(self, monotonic: float) -> float | None:
        """Seconds to the end of the run, where it has one."""
        seconds = self._pace.seconds
        return None if seconds is None else max(0.0, seconds - (monotonic - self._begun))


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)
