"""Times of readings: from their text to whole microseconds since 2000-01-01 UTC, and back.

PostgreSQL stores that very number, and its binary COPY takes it as it is; comparing and sorting
whole numbers costs a tenth of what datetimes cost.
"""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 86_400 * SECOND_US
MAX_CACHED_SECONDS, MAX_CACHED_RESTS = 100_000, 20_000
_MISSHAPEN = "not YYYY-MM-DDTHH:MM:SS[.fraction](Z|+hh:mm|-hh:mm)"
_SECOND = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:\d\d", re.ASCII)
_REST = re.compile(r"(?:\.(\d+))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII)


class ClockLimits(NamedTuple):
    """The times a reading may carry, in microseconds since 2000-01-01 UTC, both ends included."""

    oldest: int
    newest: int


def clock_limits(
    now: datetime, *, max_age_days: int, retention_days: int, max_skew_seconds: int
) -> ClockLimits:
    """The limits at `now`; a retention of 0 days keeps everything."""
    days = min(max_age_days, retention_days) if retention_days else max_age_days
    now_us = to_micros(now)
    return ClockLimits(now_us - days * DAY_US, now_us + max_skew_seconds * SECOND_US)


def to_micros(time: datetime) -> int:
    """Microseconds since 2000-01-01 UTC of an aware datetime."""
    return (time - POSTGRES_EPOCH) // timedelta(microseconds=1)


def to_datetime(micros: int) -> datetime:
    """The aware UTC datetime of `micros` since 2000-01-01 UTC. Raises OverflowError."""
    return POSTGRES_EPOCH + timedelta(microseconds=micros)


class Seconds(dict[str, int]):
    """Times down to the second, as they stand in texts, to microseconds since 2000-01-01.

    It is a cache: thousands of readings share a second. Raises ValueError for any other text.
    """

    def __missing__(self, text: str) -> int:
        if not _SECOND.fullmatch(text):
            raise ValueError(_MISSHAPEN)
        micros = to_micros(datetime.fromisoformat(text + "Z"))
        if len(self) >= MAX_CACHED_SECONDS:
            self.clear()
        self[text] = micros
        return micros


class Rests(dict[str, int]):
    """What follows the second, a fraction and an offset, to the microseconds it adds.

    It is a cache of fractions down to milliseconds. Raises ValueError for any other text.
    """

    def __missing__(self, text: str) -> int:
        found = _REST.fullmatch(text)
        if not found:
            raise ValueError(_MISSHAPEN)
        fraction, sign, hours, minutes = found.group(1, 2, 3, 4)
        micros = int((fraction or "0")[:6].ljust(6, "0"))
        if sign:
            offset_us = (int(hours) * 60 + int(minutes)) * 60 * SECOND_US
            micros -= offset_us if sign == "+" else -offset_us
        if len(fraction or "") <= len("mmm"):
            if len(self) >= MAX_CACHED_RESTS:
                self.clear()
            self[text] = micros
        return micros


SECONDS, RESTS = Seconds(), Rests()
"""A reading's time is `SECONDS[text[:19]] + RESTS[text[19:]]`."""


def parse_timestamp(text: str) -> int:
    """Microseconds since 2000-01-01 UTC; a finer fraction is cut. Raises ValueError."""
    try:
        return SECONDS[text[:19]] + RESTS[text[19:]]
    except ValueError as error:
        raise ValueError(f"timestamp {text[:40]!r}: {error}") from None


def format_micros(micros: int) -> str:
    """ISO 8601 in UTC with Z, with a fraction only where there is one."""
    try:
        return to_datetime(micros).replace(tzinfo=None).isoformat() + "Z"
    except OverflowError:
        return f"{micros} microseconds from 2000-01-01"
