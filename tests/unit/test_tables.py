"""The lines of the tables that `positions list` and `reconcile` print."""

from datetime import datetime, timedelta, timezone

from aiokafka import TopicPartition

from brokers.partitions import lag
from reporting.tables import partition_line, to_the_second


def test_the_columns_stand_below_each_other() -> None:
    lines = [
        partition_line("group", "topic", "partition", ["position", "lag"]),
        partition_line("energy-ingest", "meter-telemetry", 0, [1200, None]),
        partition_line("total", "", "", [7]),
    ]
    assert lines == [
        "group                   topic                   partition     position          lag",
        "energy-ingest           meter-telemetry                 0         1200            ?",
        "total                                                                7",
    ]


def test_a_lag_is_unknown_without_the_logs_end() -> None:
    row = {"topic": "meter-telemetry", "partition": 1, "next_offset": 5}
    assert lag({TopicPartition("meter-telemetry", 1): 8}, row) == 3
    assert lag({TopicPartition("meter-telemetry", 0): 8}, row) is None


def test_a_time_is_printed_in_utc() -> None:
    time = datetime(2026, 1, 31, 14, 0, 0, 999_999, timezone(timedelta(hours=2)))
    assert to_the_second(time) == "2026-01-31T12:00:00Z"
