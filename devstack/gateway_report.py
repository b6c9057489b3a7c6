"""What a gateway sent, judged as workers would judge it: what they would reject and why, what they
would count twice or call a conflict, and what would be cheaper.

Nothing is written anywhere. The readings are decoded by the workers' own decoders.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any, NamedTuple

from schemas.settings import Settings
from schemas.streams.record_decoder import RecordDecoder
from schemas.streams.rejection import Rejection
from schemas.streams.stream import DEVICE, TIME, Row
from schemas.streams.times import to_datetime

EXAMPLES = 3
"""Of each reason."""
FEW_READINGS = 5
"""On average in a record, fewer of which are dear."""
LATE_S = 120.0
MANY = 20
"""So many records, and so many readings, say something of a habit."""


class Record(NamedTuple):
    """A record, and where it came from."""

    where: str
    value: bytes | None
    timestamp_ms: int | None = None
    """Kafka's time; None of a file."""
    log_append_time: bool = True


class Example(NamedTuple):
    """One reading that would be rejected."""

    where: str
    device: str | None
    detail: str


@dataclass
class Report:
    """What is known of one topic."""

    topic: str
    records: int = 0
    readings: int = 0
    devices: set[str] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    duplicates: int = 0
    conflicts: int = 0
    late_s: list[float] = field(default_factory=list)
    create_time: bool = False

    @property
    def is_fine(self) -> bool:
        """Whether nothing would be rejected."""
        return not self.rejected and not self.conflicts

    def advice(self) -> Iterator[str]:
        """What the gateway, or the topic, should do otherwise."""
        if self.records >= MANY and self.readings < FEW_READINGS * self.records:
            average = self.readings / self.records
            yield (
                f"{average:.1f} readings a record: send arrays of some 50, which cost Kafka and the"
                " workers a fraction"
            )
        if len(self.late_s) >= MANY:
            late_s = median(self.late_s)
            if late_s > LATE_S:
                yield f"readings are {late_s:,.0f} s old when they come: its clock, or a backlog?"
            if late_s < -1:
                yield f"readings come {-late_s:,.0f} s before their time: its clock is ahead"
        if self.create_time:
            yield (
                "the topic keeps the producers' times: set message.timestamp.type=LogAppendTime, or"
                " retention may delete what nobody has read"
            )
        if self.duplicates:
            yield (
                f"{self.duplicates:,} readings come again: that is safe after an error, and costs"
                " as much as a new one"
            )

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "topic": self.topic,
            "records": self.records,
            "readings": self.readings,
            "devices": len(self.devices),
            "rejected": dict(self.rejected),
            "conflicts": self.conflicts,
            "duplicates": self.duplicates,
            "examples": {
                reason: [one._asdict() for one in examples]
                for reason, examples in self.examples.items()
            },
            "advice": list(self.advice()),
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        what = f"{self.records:,} records with {self.readings:,} readings"
        yield f"{self.topic}: {what} of {len(self.devices):,} devices"
        for reason, count in self.rejected.most_common():
            yield f"  rejected as {reason}: {count:,}"
            for one in self.examples[reason]:
                yield f"    {one.where} {one.device or '(no device)'}: {one.detail}"
        if self.conflicts:
            yield f"  rejected as conflict: {self.conflicts:,} have other values than one before"
        if self.is_fine:
            yield "  nothing would be rejected"
        for line in self.advice():
            yield f"  advice: {line}"


def judge(
    topic: str, decoder: RecordDecoder, settings: Settings, records: Iterable[Record]
) -> Report:
    """Judge these records of one topic, as of now."""
    report = Report(topic)
    limits = settings.clock_limits(datetime.now(UTC))
    seen: dict[tuple[str, int], Row] = {}
    for record in records:
        rows, _, rejections = decoder.decode(record.value, limits)
        report.records += 1
        report.readings += len(rows) + sum(1 for one in rejections if one.outcome is None)
        report.create_time |= not record.log_append_time
        for rejection in rejections:
            _note(report, record.where, rejection)
        for row in rows:
            report.devices.add(str(row[DEVICE]))
            before = seen.setdefault((str(row[DEVICE]), row[TIME]), row)
            if before is not row:
                report.duplicates += before == row
                report.conflicts += before != row
        if rows and record.timestamp_ms is not None:
            newest = to_datetime(max(row[TIME] for row in rows)).timestamp()
            report.late_s.append(record.timestamp_ms / 1000 - newest)
    return report


def _note(report: Report, where: str, rejection: Rejection) -> None:
    report.rejected[rejection.reason] += 1
    examples = report.examples.setdefault(rejection.reason, [])
    if len(examples) < EXAMPLES:
        place = "" if rejection.place is None else f" [{rejection.place}]"
        examples.append(Example(f"{where}{place}", rejection.device_id, rejection.detail))
