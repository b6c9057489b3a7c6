"""Simulated time catches up with the clock and never passes it."""

from datetime import UTC, datetime, timedelta

import pytest

from devstack.fleet.pace import Pace, SimulatedClock

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def drive(pace: Pace, seconds: float, tick_s: float = 0.01) -> tuple[SimulatedClock, list[float]]:
    """Steps a clock for that long; returns it and how far each step's end lay behind the clock."""
    clock = SimulatedClock(pace, NOW, monotonic=100.0)
    behind = []
    passed_s = 0.0
    while passed_s < seconds and not clock.over(100.0 + passed_s):
        now = NOW + timedelta(seconds=passed_s)
        wait_s = clock.wait_s(now, 100.0 + passed_s)
        if wait_s:
            passed_s += min(wait_s, tick_s)
            continue
        clock.stepped()
        behind.append((now - clock.reached).total_seconds())
    return clock, behind


@pytest.mark.parametrize(
    ("interval_s", "said"),
    [(60.0, 60), (1.0, 1), (86_400.0, 86_400), (0.5, None), (1.5, None), (86_401.0, None)],
)
def test_devices_say_how_often_they_report_in_whole_seconds(
    interval_s: float, said: int | None
) -> None:
    assert Pace(interval_s=interval_s, live_interval_s=1).report_seconds == said


def test_real_time_starts_now() -> None:
    clock, behind = drive(Pace(interval_s=1), seconds=10.5)
    assert clock.start == NOW
    assert len(behind) == 10
    assert all(0 <= lag < 0.02 for lag in behind)


def test_a_faster_run_ends_at_about_now() -> None:
    clock, behind = drive(Pace(interval_s=60, speed=600, seconds=20), seconds=60)
    assert clock.start == NOW - timedelta(seconds=599 * 20)
    assert all(lag >= 0 for lag in behind)
    assert behind[-1] <= 120


def test_as_fast_as_can_be_then_live() -> None:
    pace = Pace(interval_s=60, live_interval_s=1, speed=0, backfill_h=1)
    clock, behind = drive(pace, seconds=5.5)
    assert clock.live
    assert len(behind) == 60 + 5
    assert all(lag >= 0 for lag in behind)


def test_zero_seconds_only_catches_up() -> None:
    clock, behind = drive(Pace(interval_s=60, speed=0, seconds=0), seconds=5)
    assert clock.live
    assert len(behind) == 24 * 60


def test_a_run_ends() -> None:
    clock, _ = drive(Pace(interval_s=1, seconds=3), seconds=100)
    assert clock.over(103.0)
    assert clock.left_s(101.0) == 2.0
