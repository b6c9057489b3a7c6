"""The parts of the benchmarks that can be wrong without anybody noticing."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from bench.options import Options, parse
from bench.plots import is_full
from bench.producing import REPEAT_EVERY, _Arrays, _minute, _Singles
from bench.readings import BenchReadings, as_copy_line, as_json, fleet
from bench.report import TARGETS, Target, measured, table, verdict
from bench.svg import Bar, chart
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.decoder import Decoder
from schemas.streams.stream import Stream
from schemas.streams.times import clock_limits

START = datetime(2026, 1, 31, tzinfo=UTC)
LIMITS = clock_limits(
    START + timedelta(days=1), max_age_days=30, retention_days=0, max_skew_seconds=0
)


@pytest.mark.parametrize("stream", [METER, VEHICLE])
def test_a_record_and_a_copy_line_are_the_same_valid_reading(stream: Stream) -> None:
    readings = BenchReadings(stream, devices=100, start=START)
    for device in range(100):
        fields = readings.minute(7)(device)
        (row,), _, rejected = Decoder(stream).decode(as_json(stream)(fields).encode(), LIMITS)
        assert not rejected
        columns = as_copy_line(fields).rstrip("\n").split("\t")
        assert row[0] == float(columns[0])
        assert row[2:-1] == tuple(map(float, columns[2:-1]))
        assert row[-1] == columns[-1]
        assert len(row[-1]) == 9


def test_timestamps_are_a_minute_apart_and_hardly_repeat() -> None:
    readings = BenchReadings(METER, devices=1000, start=START)
    times = [
        [datetime.fromisoformat(readings.minute(minute)(device)[1]) for minute in range(3)]
        for device in range(1000)
    ]
    for device in times:
        assert [time.minute for time in device] == [0, 1, 2]
    seen = Counter(time.time() for device in times for time in device)
    assert len(seen) > 0.97 * 3000


@pytest.mark.parametrize("stream", list(STREAMS.values()))
@pytest.mark.parametrize("repeats", [False, True])
def test_both_forms_hold_the_same_readings(stream: Stream, repeats: bool) -> None:
    readings = BenchReadings(stream, devices=120, start=START)
    singles, arrays = _Singles(readings), _Arrays(readings)
    one_by_one: list[str] = []
    in_arrays: list[str] = []
    for minute in range(30):
        fields = list(_minute(readings, minute, repeats=repeats))
        one_by_one += [value for _, _, value in singles.minute(fields)]
        in_arrays += [value for _, _, value in arrays.minute(fields)]
    in_arrays += [value for _, _, value in arrays.rest()]
    flat = [json.dumps(one) for value in in_arrays for one in json.loads(value)]
    assert Counter(flat) == Counter(json.dumps(json.loads(value)) for value in one_by_one)
    copies = Counter(one_by_one)
    assert len(copies) == 120 * 30
    share = (len(one_by_one) - len(copies)) / len(one_by_one)
    assert share == pytest.approx(1 / (REPEAT_EVERY + 1) if repeats else 0, abs=0.01)


def test_a_fleet_counts_both_streams() -> None:
    assert fleet(devices=10, minutes=6, start=START, clock="seconds").readings == 120


@pytest.mark.parametrize(
    ("at_least", "aim", "value", "expected"),
    [
        (0.6, 1.0, 0.5, "MISSED"),
        (0.6, 1.0, 0.6, "reached"),
        (0.6, 1.0, 1.1, "aim reached"),
        (15, 5, 16, "MISSED"),
        (15, 5, 15, "reached"),
        (15, 5, 4, "aim reached"),
    ],
)
def test_whether_more_or_less_is_better_follows_from_the_aim(
    at_least: float, aim: float, value: float, expected: str
) -> None:
    assert verdict(Target("figure", at_least, aim, "", ""), value) == expected


def test_the_table_leaves_out_what_was_not_measured() -> None:
    parts = {"drain": {"median": {"single": {"ratio": 0.7, "peak_rss_mb": 120}}}}
    _, *lines = table(parts)
    assert len(lines) == 2
    assert "0.7" in lines[0]
    assert measured(parts, "peak_rss_mb") == 120
    assert len({target.path for target in TARGETS}) == len(TARGETS)


def test_only_a_run_of_full_sizes_draws_the_plots_of_the_docs() -> None:
    _, options = parse(["drain"], {"drain": ""})
    assert options == Options()
    _, quick = parse(["--quick"], {"drain": ""})
    assert quick.quick
    for one, full in ((options, True), (quick, False)):
        sizes = {name: getattr(one, name) for name in Options.__dataclass_fields__}
        assert is_full({"options": sizes | {"out": "elsewhere"}}) == full


def test_a_chart_is_well_formed_and_shows_every_value() -> None:
    drawn = chart("a < b", "ms", [Bar("x", 12.0, "p50"), Bar("x", 1234.5, "p99")], "a note")
    texts = [text for text in ET.fromstring(drawn).itertext() if text.strip()]
    assert {"a < b", "12 ms", "1,234 ms", "p50", "p99", "a note"} <= set(texts)
