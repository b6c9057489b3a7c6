"""How fast simulated time passes: from the past it catches up with the clock, then follows it.

A step is due once all of it lies in the past, so no reading is ever ahead of the clock.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.devices import LONGEST_REPORT_SECONDS

DEFAULT_BACKFILL_H = 24.0


@dataclass(frozen=True)
class Pace:
    """The options that are about time."""

    interval_s: float = 60.0
    """Simulated seconds between two readings of a device."""
    live_interval_s: float | None = None
    """The same once simulated time has caught up with the clock; None = `interval_s`."""
    speed: float = 1.0
    """Simulated seconds a second until then; 0 = as fast as possible."""
    backfill_h: float | None = None
    """Hours from the start to the clock; None = what fits `speed` and `seconds`."""
    seconds: float | None = None
    """How long to run; 0 = until simulated time has caught up, None = until stopped."""

    @property
    def report_seconds(self) -> int | None:
        """What devices say of `interval_s`; None where it is no whole second to a day."""
        whole = self.interval_s % 1 == 0 and 1 <= self.interval_s <= LONGEST_REPORT_SECONDS
        return int(self.interval_s) if whole else None

    def backfill(self) -> timedelta:
        """The time from the start to the clock."""
        if self.backfill_h is not None:
            return timedelta(hours=self.backfill_h)
        if self.speed == 1:
            return timedelta(0)
        if self.speed > 1 and self.seconds:
            return timedelta(seconds=(self.speed - 1) * self.seconds)
        return timedelta(hours=DEFAULT_BACKFILL_H)


class SimulatedClock:
    """Says when the next step is due. `now` is UTC, `monotonic` is in seconds."""

    def __init__(self, pace: Pace, now: datetime, monotonic: float) -> None:
        self._pace = pace
        self._begun = monotonic
        self.start = (now - pace.backfill()).replace(microsecond=0)
        self.reached = self.start
        self.live = False

    def begin(self, monotonic: float) -> None:
        """Count the run's seconds from now on; simulated time keeps its start."""
        self._begun = monotonic

    @property
    def step_s(self) -> float:
        """The length of the next step, in seconds."""
        live_s = self._pace.live_interval_s
        return live_s if self.live and live_s else self._pace.interval_s

    def wait_s(self, now: datetime, monotonic: float) -> float:
        """Seconds until the next step is due, 0 when it is. Sets `live` once it has caught up."""
        if not self.live:
            self.live = self.reached + timedelta(seconds=self._pace.interval_s) > now
        end = self.reached + timedelta(seconds=self.step_s)
        wait_s = (end - now).total_seconds()
        if not self.live and self._pace.speed:
            due_s = (end - self.start).total_seconds() / self._pace.speed
            wait_s = max(wait_s, due_s - (monotonic - self._begun))
        return max(0.0, wait_s)

    def stepped(self) -> None:
        """Note that the step was made."""
        self.reached += timedelta(seconds=self.step_s)

    def over(self, monotonic: float) -> bool:
        """Whether the run has reached its end."""
        if self._pace.seconds is None:
            return False
        if self._pace.seconds == 0:
            return self.live
        return monotonic - self._begun >= self._pace.seconds

    def left_s(self, monotonic: float) -> float | None:
        """Seconds to the end of the run; None when it runs until it is stopped."""
        seconds = self._pace.seconds
        return None if seconds is None else max(0.0, seconds - (monotonic - self._begun))


def utc_now() -> datetime:
    """The time of the clock."""
    return datetime.now(UTC)
