"""The table of what real meters do, on the reference alone."""

import pytest

from tests import reference
from tests.agreement import look_up
from tests.corrected_meters import CORRECTIONS, SAID
from tests.real_meters import CASES, MOST_MINUTES, START, after

ALL = CASES | SAID | {name: one.case for name, one in CORRECTIONS.items()}


@pytest.mark.parametrize("name", ALL)
def test_real_meters(name: str) -> None:
    case = ALL[name]
    found = reference.performance(case.fleet, case.vehicle, START, after(MOST_MINUTES))
    for path, true in case.true.items():
        exact = look_up(found, path)
        assert (float(round(exact, 3)) if isinstance(true, float) else exact) == true, path
    assert {alert["code"]: alert["certain"] for alert in found["alerts"]} == case.alerts
