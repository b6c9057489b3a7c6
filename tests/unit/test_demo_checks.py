"""The checks of the demo: one reading too few or too many, or a wrong figure, and they fail."""

from copy import deepcopy
from typing import Any

import pytest

from devstack.demo.checks import (
    Books,
    books,
    check_books,
    check_none_empty,
    check_rejected,
    check_sessions,
    check_vehicles,
    grown,
    vehicle_figures,
)

TOPICS = {"meter": "m", "vehicle": "v"}
TRUTH: dict[str, Any] = {
    "sent": 30,
    "sessions": 2,
    "sessionsRefused": 0,
    "streams": {
        "meter": {
            "stored": 12,
            "duplicate": 4,
            "rejected": {"conflict": 3, "invalid": 1},
            "readByPartition": {"0": 9, "1": 11},
        },
        "vehicle": {
            "stored": 7,
            "duplicate": 2,
            "rejected": {"conflict": 1},
            "readByPartition": {"0": 10},
        },
    },
}
COUNTED: Books = {
    ("m", 0): {"read": 9, "stored": 6, "duplicate": 2, "rejected": 1},
    ("m", 1): {"read": 11, "stored": 6, "duplicate": 2, "rejected": 3},
    ("v", 0): {"read": 10, "stored": 7, "duplicate": 2, "rejected": 1},
}
ENERGY = {"vehicleId": "VH-1", "meterIds": ["MTR-1"], "energyAc": 10.0004, "energyDc": 9.0}


def failed(counted: Books, truth: dict[str, Any] = TRUTH) -> list[str]:
    return [check.text for check in check_books(counted, truth, TOPICS) if not check.holds]


def performance(ac: float, dc: float, ratio: float | None) -> dict[str, Any]:
    metrics = {
        "totalEnergyConsumedAc": ac,
        "totalEnergyDeliveredDc": dc,
        "efficiencyRatio": ratio,
    }
    return {"metrics": metrics}


def test_equal_books_pass() -> None:
    assert failed(COUNTED) == []


@pytest.mark.parametrize("partition", COUNTED)
@pytest.mark.parametrize("name", ["read", "stored", "duplicate", "rejected"])
@pytest.mark.parametrize("by", [1, -1])
def test_one_more_or_less_anywhere_fails(partition: tuple[str, int], name: str, by: int) -> None:
    counted = deepcopy(COUNTED)
    counted[partition][name] += by
    assert failed(counted)


def test_a_reading_read_in_place_of_another_partition_s_fails() -> None:
    counted = deepcopy(COUNTED)
    counted["m", 0] = {"read": 10, "stored": 7, "duplicate": 2, "rejected": 1}
    counted["m", 1] = {"read": 10, "stored": 5, "duplicate": 2, "rejected": 3}
    assert len(failed(counted)) == 1


def test_a_partition_without_duplicates_fails() -> None:
    counted = deepcopy(COUNTED)
    counted["m", 0] = {"read": 9, "stored": 6, "duplicate": 0, "rejected": 3}
    counted["m", 1] = {"read": 11, "stored": 6, "duplicate": 4, "rejected": 1}
    assert failed(counted) == []
    assert check_none_empty(COUNTED).holds
    assert not check_none_empty(counted).holds
    assert not check_none_empty({}).holds


def test_reasons_are_compared_one_by_one() -> None:
    assert all(check.holds for check in check_rejected({"conflict": 4, "invalid": 1}, TRUTH))
    swapped = check_rejected({"conflict": 3, "invalid": 2, "refused": 0}, TRUTH)
    assert [check.holds for check in swapped] == [False, False, True]


def test_what_was_counted_before_is_left_out() -> None:
    row = {"topic": "m", "partition": 0, "read": 5, "stored": 5, "duplicate": 0, "rejected": 0}
    report = {"partitions": [{**row, "groupId": "g"}, {**row, "groupId": "g:replay"}]}
    before = books(report, "g")
    after = {**before, ("m", 0): {"read": 9, "stored": 7, "duplicate": 1, "rejected": 1}}
    expected = {"read": 4, "stored": 2, "duplicate": 1, "rejected": 1}
    assert grown(before, after) == {("m", 0): expected}
    assert grown({}, before) == before


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        (performance(10.0, 9.0, 0.9), True),
        (performance(10.001, 9.0, 0.9), False),
        (performance(10.0, 9.002, 0.9), False),
        (performance(10.0, 9.0, 0.901), False),
        (performance(10.0, 9.0, None), False),
    ],
)
def test_figures_match_within_rounding(answer: dict[str, Any], match: bool) -> None:
    figures = vehicle_figures({**ENERGY, "efficiency": 9.0 / 10.0004}, answer)
    assert figures.match is match
    (check,) = check_vehicles([figures])
    assert check.holds is match


def test_a_refused_session_fails() -> None:
    assert check_sessions(TRUTH).holds
    assert not check_sessions({**TRUTH, "sessionsRefused": 1}).holds
