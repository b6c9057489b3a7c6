"""Totals, ratios, quality and alerts, made of the sums PostgreSQL gives."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.figures import Figures, Side
from api.paces import Pace, mismatches
from api.routes.analytics import hours, performance
from api.vehicle_sums import Sums
from schemas.analytics import Window

START = datetime(2026, 1, 31, tzinfo=UTC)
WINDOW = Window(START, START + timedelta(days=1))
HOUR_S = Decimal(3600)
AC = Side(energy=Decimal(100), readings=60, expected=60, seconds=HOUR_S)
DC = Side(energy=Decimal(90), readings=60, expected=60, seconds=HOUR_S)
WHOLE = Figures(ac=AC, dc=DC, sessions=1, session_seconds=HOUR_S)
"""One session of an hour, read once a minute on both sides."""
NOTHING = Figures(ac=Side(), dc=Side(), sessions=0, session_seconds=Decimal(0))


def delivered(energy: str) -> Figures:
    """A whole hour of which so much DC came out of 100 kWh AC."""
    return replace(WHOLE, dc=replace(DC, energy=Decimal(energy)))


def hour(number: int, side: str, **columns: Any) -> dict[str, Any]:
    return {"hour": START + timedelta(hours=number), "side": side} | columns


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
    assert [alert.code for alert in delivered(energy_dc).alerts()] == codes


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
    assert [alert.message for alert in delivered(energy_dc).alerts()] == [message]


@pytest.mark.parametrize(
    ("ac", "dc", "flags", "quality", "why"),
    [
        ({"seconds": Decimal(3420)}, {"seconds": Decimal(3420)}, {}, "complete", None),
        (
            {"seconds": Decimal("3419.999")},
            {},
            {},
            "partial",
            "AC readings are missing for 5% of the time",
        ),
        (
            {},
            {"seconds": Decimal(1800)},
            {},
            "partial",
            "DC readings are missing for 50% of the time",
        ),
        ({"estimated": Decimal(5)}, {"estimated": Decimal("0.05")}, {}, "complete", None),
        ({"estimated": Decimal("5.001")}, {}, {}, "partial", "5% of AC is estimated"),
        ({}, {"estimated": Decimal("0.0501")}, {}, "partial", "5% of DC is estimated"),
        ({}, {}, {"implausible": 2}, "partial", "implausible readings: 2"),
        ({}, {}, {"rejected": 1_000}, "partial", "rejected readings: 1,000"),
        ({}, {}, {"counter_resets": 1, "dips": 1, "spikes": 1}, "complete", None),
        (
            {"readings": 0, "seconds": Decimal(0)},
            {},
            {},
            "partial",
            "AC readings are missing for 100% of the time",
        ),
        ({"readings": 0, "energy": Decimal(0)}, {}, {}, "none", None),
        ({}, {"readings": 0, "energy": Decimal(0)}, {}, "none", None),
        ({}, {}, {"sessions": 0}, "none", None),
    ],
)
def test_figures_are_complete_or_say_what_they_lack(
    ac: dict[str, Any], dc: dict[str, Any], flags: dict[str, Any], quality: str, why: str | None
) -> None:
    low = replace(DC, energy=Decimal(1))
    found = replace(WHOLE, ac=replace(AC, **ac), dc=replace(low, **dc), **flags)
    assert (found.quality, found.coverage().quality) == (quality, quality)
    alerts = found.alerts()
    assert {(alert.certain, alert.why) for alert in alerts} == (
        set() if quality == "none" else {(quality == "complete", why)}
    )
    assert ("low_efficiency" in [alert.code for alert in alerts]) == (quality != "none")


def test_an_alert_that_is_certain_has_no_why() -> None:
    (alert,) = delivered("84").alerts()
    assert "why" not in alert.model_dump(by_alias=True)


def test_figures_may_lack_more_than_one_thing() -> None:
    """The reasons stand one after the other, and the implausible is an alert of its own."""
    lacking = replace(delivered("84"), implausible=1, rejected=2)
    assert [(alert.code, alert.why) for alert in lacking.alerts()] == [
        (code, "implausible readings: 1; rejected readings: 2")
        for code in ("low_efficiency", "implausible_energy")
    ]


@pytest.mark.parametrize(
    ("gap", "gaps", "set_to", "advice"),
    [
        (900.0, 10, None, "reportSeconds is not set: set it to 900"),
        (900.0, 9, None, None),
        (120.0, 10, None, None),
        (120.1, 10, None, "reportSeconds is not set: set it to 120"),
        (30.0, 10, None, None),
        (29.9, 10, None, "reportSeconds is not set: set it to 30"),
        (900.0, 10, 900, None),
        (60.0, 10, 900, "reportSeconds is 900: set it to 60"),
        (0.2, 10, 900, "reportSeconds is 900: set it to 1"),
        (None, 0, 900, None),
    ],
)
def test_a_device_that_reports_at_another_pace_than_set_is_told_what_to_set(
    gap: float | None, gaps: int, set_to: int | None, advice: str | None
) -> None:
    told = [message for _, message in mismatches([Pace("AC", gap, gaps, set_to)])]
    assert told == ([] if advice is None else [f"AC readings come every {gap:g} s and {advice}"])


def test_a_pace_unlike_the_one_set_is_an_alert_unless_there_is_nothing_to_judge() -> None:
    paces = (Pace("AC", 60.0, 20, None), Pace("DC", 900.0, 20, None))
    answer = performance("VH-001", WINDOW, Sums(True, WHOLE, [], paces))
    assert [(alert.code, alert.certain) for alert in answer.alerts] == [("cadence_mismatch", True)]
    assert answer.coverage.observed_seconds.model_dump() == {"ac": 60, "dc": 900}
    assert performance("VH-001", WINDOW, Sums(True, NOTHING, [], paces)).alerts == []


def test_nothing_read() -> None:
    metrics = NOTHING.metrics()
    assert metrics.model_dump() == {
        "total_energy_consumed_ac": 0,
        "total_energy_delivered_dc": 0,
        "efficiency_ratio": None,
        "average_battery_temp": None,
        "charging_sessions": 0,
        "reading_count": 0,
    }
    assert (NOTHING.quality, NOTHING.alerts(), list(hours([]))) == ("none", [], [])


def test_a_temperature_is_the_mean_of_the_readings_that_have_one() -> None:
    measured = replace(WHOLE, readings=60, temps=2, temp_sum=Decimal("60.7"))
    metrics = measured.metrics()
    assert (metrics.average_battery_temp, metrics.reading_count) == (30.4, 60)


def test_energies_are_rounded_once_they_are_summed() -> None:
    third = Decimal("0.0004")
    rows = [hour(number, side, energy=third) for number in range(3) for side in ("ac", "dc")]
    assert [item.energy_ac for item in hours(rows)] == [0, 0, 0]
    total = replace(AC, energy=3 * third)
    metrics = replace(WHOLE, ac=total, dc=total).metrics()
    assert (metrics.total_energy_consumed_ac, metrics.efficiency_ratio) == (0.001, 1)


def test_an_hour_has_both_sides_and_hours_come_in_order() -> None:
    rows = [
        hour(1, "dc", energy=Decimal(90)),
        hour(0, "ac", energy=Decimal(50)),
        hour(1, "ac", energy=Decimal(100)),
        hour(2, "read", readings=2, temps=1, temp_sum=Decimal(30)),
        {"hour": None, "side": "ac", "energy": Decimal(150)},
    ]
    shown = [
        (item.hour, item.energy_ac, item.energy_dc, item.avg_temp, item.efficiency)
        for item in hours(rows)
    ]
    assert shown == [
        (START, 50, 0, None, 0),
        (START + timedelta(hours=1), 100, 90, None, 0.9),
        (START + timedelta(hours=2), 0, 0, 30, None),
    ]
