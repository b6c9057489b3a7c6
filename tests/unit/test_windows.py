"""Windows widened to hours, the whole days inside them, and their groups."""

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from schemas.analytics import (
    EARLIEST,
    LATEST,
    GroupBy,
    GroupedQuery,
    PerformanceQuery,
    Window,
    WindowQuery,
)
from schemas.chargers import ChargerQuery
from schemas.fleet import MeterQuery

MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2)]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "hours"),
    [
        (Window(at(1, 3), at(1, 5)), Window(at(1, 3), at(1, 5))),
        (Window(at(1, 3, 1), at(1, 5, 59)), Window(at(1, 3), at(1, 6))),
        (Window(at(1, 3, 59), at(1, 4, 1)), Window(at(1, 3), at(1, 5))),
        (Window(at(1, 23, 30), at(1, 23, 40)), Window(at(1, 23), at(2))),
    ],
)
def test_widened_to_hours(window: Window, hours: Window) -> None:
    assert window.in_whole_hours() == hours


@pytest.mark.parametrize(
    ("window", "days"),
    [
        (Window(at(1), at(3)), Window(at(1), at(3))),
        (Window(at(1, 1), at(3)), Window(at(2), at(3))),
        (Window(at(1, 1), at(3, 23)), Window(at(2), at(3))),
        (Window(at(1), at(3, 1)), Window(at(1), at(3))),
    ],
)
def test_whole_days(window: Window, days: Window) -> None:
    assert window.whole_days() == days


@pytest.mark.parametrize("window", [Window(at(1, 1), at(2, 23)), Window(at(1, 3), at(1, 5))])
def test_no_whole_day(window: Window) -> None:
    assert window.whole_days() == Window(window.start, window.start)


@pytest.mark.parametrize(
    ("window", "by", "bounds"),
    [
        (Window(at(1, 3, 30), at(1, 5, 1)), "hour", [at(1, 4), at(1, 5)]),
        (Window(at(1, 3), at(3)), "day", [at(2)]),
        (Window(at(1, 3), at(1, 4)), "month", []),
        (Window(datetime(2025, 12, 31, tzinfo=UTC), at(1, 1)), "month", [*MONTHS, at(1)]),
        (Window(LATEST - timedelta(days=1), LATEST), "month", []),
    ],
)
def test_groups_are_cut_to_the_window(window: Window, by: GroupBy, bounds: list[datetime]) -> None:
    edges = [window.start, *bounds, window.end]
    assert window.groups(by) == [Window(*pair) for pair in pairwise(edges)]


@pytest.mark.parametrize(
    ("query", "days"),
    [
        (GroupedQuery(), 31),
        (GroupedQuery(groupBy="hour"), 31),
        (GroupedQuery(groupBy="day"), 400),
        (PerformanceQuery(groupBy="month"), 400),
        (ChargerQuery(), 400),
        (MeterQuery(groupBy="day"), 31),
    ],
)
def test_a_window_by_day_or_month_may_be_longer(query: WindowQuery, days: int) -> None:
    start = at(1)
    for length, fits in ((days, True), (days + 1, False)):
        times = {"start_time": start, "end_time": start + timedelta(days=length)}
        asked = query.model_copy(update=times)
        with nullcontext() if fits else pytest.raises(ValueError, match=f"than {days} days"):
            assert asked.window(start).end == times["end_time"]


def test_a_base_is_never_looked_for_before_the_year_1() -> None:
    assert Window(EARLIEST + timedelta(days=1), at(1)).base_start == EARLIEST
    assert Window(at(20), at(21)).base_start == at(20) - timedelta(days=62)
