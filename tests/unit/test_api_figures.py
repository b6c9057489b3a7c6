"""Totals, ratios, quality and alerts, made of the sums PostgreSQL gives."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.routes.analytics import Sums, performance
from schemas.analytics import Performance, Window

START = datetime(2026, 1, 31, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))


def hour(number: int = 0, **columns: Any) -> dict[str, Any]:
    row = {
        "hour": START + timedelta(hours=number),
        "energy_ac": Decimal(100),
        "energy_dc": Decimal(90),
        "energy_outside": Decimal(0),
        "ac_readings": 60,
        "dc_readings": 60,
        "readings": 60,
        "counter_resets": 0,
        "temp_sum": Decimal(1800),
    }
    return row | columns


def figures(*rows: dict[str, Any], sessions: int = 1) -> Performance:
    in_sessions = sessions * timedelta(hours=1)
    return performance("VH-001", WINDOW, Sums(True, sessions, in_sessions, list(rows)))


@pytest.mark.parametrize(
    ("energy_dc", "codes"),
    [
        ("84.9999999", ["low_efficiency"]),
        ("85", []),
        ("92", []),
        ("100", []),
        ("100.0000001", ["impossible_efficiency"]),
    ],
)
def test_alerts_are_judged_before_rounding(energy_dc: str, codes: list[str]) -> None:
    answer = figures(hour(energy_dc=Decimal(energy_dc)))
    assert [alert.code for alert in answer.alerts] == codes


@pytest.mark.parametrize(
    ("energy_dc", "message"),
    [
        ("84", "Efficiency 0.840 is under 0.85"),
        ("84.96", "Efficiency 0.8496 is under 0.85"),
        ("84.9999999", "Efficiency 0.849999999 is under 0.85"),
        ("100.001", "Efficiency 1.00001 is over 1: more DC delivered than AC consumed"),
        ("110", "Efficiency 1.100 is over 1: more DC delivered than AC consumed"),
    ],
)
def test_an_alert_prints_unlike_its_limit(energy_dc: str, message: str) -> None:
    answer = figures(hour(energy_dc=Decimal(energy_dc)))
    assert [alert.message for alert in answer.alerts] == [message]


@pytest.mark.parametrize(
    ("ac", "dc", "sessions", "quality"),
    [
        (57, 57, 1, "complete"),
        (60, 56, 1, "partial"),
        (56, 60, 1, "partial"),
        (0, 60, 1, "none"),
        (60, 0, 1, "none"),
        (0, 0, 0, "none"),
    ],
)
def test_quality(ac: int, dc: int, sessions: int, quality: str) -> None:
    row = hour(ac_readings=ac, dc_readings=dc, energy_dc=Decimal(1))
    answer = figures(row, sessions=sessions)
    assert answer.coverage.quality == quality
    assert bool(answer.alerts) == (quality != "none")


def test_nothing_read() -> None:
    answer = figures(sessions=0)
    assert answer.metrics.model_dump() == {
        "total_energy_consumed_ac": 0,
        "total_energy_delivered_dc": 0,
        "efficiency_ratio": None,
        "average_battery_temp": None,
        "charging_sessions": 0,
        "reading_count": 0,
    }
    assert (answer.hourly_breakdown, answer.alerts) == ([], [])


def test_hours_add_up_before_rounding() -> None:
    third = Decimal("0.0004")
    answer = figures(*(hour(number, energy_ac=third, energy_dc=third) for number in range(3)))
    assert [item.energy_ac for item in answer.hourly_breakdown] == [0, 0, 0]
    assert answer.metrics.total_energy_consumed_ac == 0.001
    assert answer.metrics.efficiency_ratio == 1


def test_an_hours_rows_add_up_and_hours_come_in_order() -> None:
    rows = [hour(1, energy_dc=Decimal(0)), hour(0), hour(1, energy_ac=Decimal(200))]
    answer = figures(*rows)
    assert [item.hour for item in answer.hourly_breakdown] == [START, START + timedelta(hours=1)]
    assert [item.energy_ac for item in answer.hourly_breakdown] == [100, 300]
    assert [item.energy_dc for item in answer.hourly_breakdown] == [90, 90]


def test_an_hour_without_ac_has_no_efficiency() -> None:
    answer = figures(hour(energy_ac=Decimal(0)))
    assert answer.hourly_breakdown[0].efficiency is None
    assert answer.metrics.efficiency_ratio is None
