"""`check-gateway`: reads what a gateway sent, and says what would be rejected and why.

It reads the last records of the topics, as a stranger to all groups, or a file of records, one a
line.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from brokers.connect import kafka_options
from brokers.partitions import log_bounds, name_of
from devstack.errors import DevstackError
from devstack.gateway_report import Record, Report, judge
from reporting.command import Parser, print_json
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line

DEFAULT_RECORDS, MOST_RECORDS = 1_000, 1_000_000
FETCH_WAIT_MS = 1_000
LOG_APPEND_TIME = 1


def parser() -> argparse.ArgumentParser:
    """Its options."""
    options = Parser(
        prog="python -m devstack check-gateway",
        description="Say what workers would reject of what a gateway sent, and why; write nothing.",
    )
    options.add_argument("--topic", help="one topic (default: all that workers read)")
    text = f"of each partition the newest N records (default {DEFAULT_RECORDS:,})"
    options.add_argument("--last", type=_count, default=DEFAULT_RECORDS, metavar="N", help=text)
    text = "a file with a record a line, or - for standard input, in place of Kafka; with --topic"
    options.add_argument("--file", type=Path, help=text)
    options.add_argument("--json", action="store_true", help="print JSON")
    return options


def main(arguments: Sequence[str]) -> int:
    """Returns 1 when something would be rejected. Raises DevstackError."""
    options = parser().parse_args(arguments)
    try:
        settings = load_settings()
    except SettingsError as error:
        raise DevstackError(one_line(error)) from None
    decoders = settings.decoders()
    if options.topic is not None and options.topic not in decoders:
        raise DevstackError(f"--topic must be one of {', '.join(decoders)}")
    if options.file is not None and options.topic is None:
        raise DevstackError("--file needs --topic, which says what is in it")
    reports = []
    for topic in [options.topic] if options.topic else decoders:
        if options.file is not None:
            records = _of_file(options.file)
        else:
            records = asyncio.run(_newest(settings, topic, options.last))
        reports.append(judge(topic, decoders[topic], settings, records))
    _print(reports, as_json=options.json)
    return 0 if all(report.is_fine for report in reports) else 1


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_RECORDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {MOST_RECORDS:,}")
    return int(text)


def _print(reports: list[Report], *, as_json: bool) -> None:
    if as_json:
        print_json([report.as_json() for report in reports])
    else:
        for report in reports:
            print("\n".join(report.lines()))


def _of_file(path: Path) -> list[Record]:
    content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    return [
        Record(f"line {number}", line)
        for number, line in enumerate(content.splitlines(), 1)
        if line.strip()
    ]


async def _newest(settings: Settings, topic: str, last: int) -> list[Record]:
    """The newest records of each partition. Raises DevstackError."""
    try:
        bounds = await log_bounds(settings, [topic])
        if not bounds:
            raise DevstackError(f"there is no topic {topic}, or no right to describe it")
        left = {at: end for at, (start, end) in bounds.items() if start < end}
        if not left:
            return []
        async with AIOKafkaConsumer(
            **kafka_options(settings), isolation_level="read_committed", enable_auto_commit=False
        ) as consumer:
            consumer.assign(list(left))
            for partition, end in left.items():
                consumer.seek(partition, max(bounds[partition][0], end - last))
            found = []
            while left:
                fetched = await consumer.getmany(*left, timeout_ms=FETCH_WAIT_MS)
                found += [
                    Record(
                        f"{name_of(partition)}@{record.offset}",
                        record.value,
                        record.timestamp,
                        record.timestamp_type == LOG_APPEND_TIME,
                    )
                    for partition, records in fetched.items()
                    for record in records
                    if record.offset < bounds[partition][1]
                ]
                for partition in list(left):
                    if await consumer.position(partition) >= left[partition]:
                        del left[partition]
            return found
    except KafkaError as error:
        raise DevstackError(f"Kafka: {one_line(error)}") from None
