"""The pace that the gaps between a device's readings stand for."""

import pytest

from api.paces import ROUND_SECONDS, Pace, mismatches, pace_of
from api.routes.cadence import judge


@pytest.mark.parametrize(
    ("median_s", "pace_s"),
    [
        (60.0, 60),
        (57.0, 60),
        (63.0, 60),
        (56.9, 57),
        (63.1, 63),
        (9.6, 10),
        (885.0, 900),
        (1000.4, 1000),
        (0.001, 1),
        (1.4, 1),
        (1.6, 2),
        (86_400.0, 86_400),
        (90_720.0, 86_400),
        (82_080.0, 86_400),
        (82_000.0, 82_000),
        (90_721.0, None),
    ],
)
def test_a_whole_second_or_the_round_value_close_by(median_s: float, pace_s: int | None) -> None:
    assert pace_of(median_s) == pace_s


def test_round_values_stand_for_themselves_alone() -> None:
    assert tuple(sorted(ROUND_SECONDS)) == ROUND_SECONDS and len(ROUND_SECONDS) == 18
    assert [pace_of(seconds) for seconds in ROUND_SECONDS] == list(ROUND_SECONDS)


@pytest.mark.parametrize(
    ("readings", "seconds", "adopted"),
    [(0, None, None), (1, None, None), (10, 60.2, None), (11, 60.2, 60), (101, 1e6, None)],
)
def test_ten_gaps_are_needed(readings: int, seconds: float | None, adopted: int | None) -> None:
    row = {"device_id": "D", "stream_type": "meter", "previous": 5}
    found = judge(row | {"readings": readings, "seconds": seconds})
    assert (found.report_seconds, found.previous) == (adopted, 5)
    assert found.observed_seconds == (seconds if readings > 10 else None)
    assert bool(found.message) == (adopted is None)


def test_the_alert_says_what_adoption_would_set() -> None:
    ((code, message),) = mismatches([Pace("AC", 885.0, 96, 60)])
    assert (code, message[-13:]) == ("cadence_mismatch", "set it to 900")
