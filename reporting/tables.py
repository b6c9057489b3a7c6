"""What the tables of the operator's commands are made of: lines about partitions, and times."""

from collections.abc import Iterable
from datetime import UTC, datetime


def partition_line(group_id: str, topic: str, partition: object, values: Iterable[object]) -> str:
    """One line about a partition, or the table's heading; a value of None is unknown, a `?`."""
    names = f"{group_id:<24}{topic:<24}{partition:>9}"
    return " ".join([names, *(f"{'?' if value is None else value:>12}" for value in values)])


def to_the_second(time: datetime) -> str:
    """An aware time in UTC, such as 2026-01-31T12:00:00Z; fractions are cut."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
