"""Windows widened to hours, and the whole days inside them."""

from datetime import UTC, datetime, timedelta

import pytest

from schemas.analytics import EARLIEST, Window


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


def test_a_base_is_never_looked_for_before_the_year_1() -> None:
    assert Window(EARLIEST + timedelta(days=1), at(1)).base_start == EARLIEST
    assert Window(at(20), at(21)).base_start == at(20) - timedelta(days=62)
