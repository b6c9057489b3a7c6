"""Every cause of a flush, and every reason to wait."""

import pytest

from tests.unit.loop.fake_consumer import FakeRecord
from tests.unit.loop.readings import METER_READING, METERS, rules


@pytest.mark.parametrize(
    ("readings", "age_s", "writing", "behind", "cause"),
    [
        (0, 99.0, False, 0, None),
        (5, 0.0, False, 0, "full"),
        (5, 0.0, True, 99, "full"),
        (3, 0.0, False, 3, "caught_up"),
        (3, 0.0, False, 4, None),
        (3, 1.9, False, 4, None),
        (3, 2.0, False, 4, "interval"),
        (3, 2.0, True, 0, None),
    ],
)
def test_a_batch_is_flushed_for_a_cause(
    readings: int, age_s: float, writing: bool, behind: int, cause: str | None
) -> None:
    flushing = rules(max_readings=5, flush_interval_s=2.0)
    batch = flushing.new_batch()
    batch.add(METERS, 0, [FakeRecord(offset, METER_READING) for offset in range(readings)])
    found = flushing.flush_cause(batch, age_s=age_s, writing=writing, records_behind=lambda: behind)
    assert found == cause
