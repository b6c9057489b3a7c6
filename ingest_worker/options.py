"""The options of `python -m ingest_worker` and its commands, each checked where it is read."""

import argparse
import re
from datetime import UTC, datetime
from decimal import Decimal

import msgspec

from reporting.command import Parser
from schemas.rejected import MAX_ID, REASONS
from schemas.session_events import SESSION_EVENTS
from schemas.streams import STREAMS
from schemas.streams.rescue import UNITS, Rescue, droppable
from schemas.streams.stream import Kind
from schemas.streams.times import SECOND_US
from schemas.text import storable

FILTERS = ("reason", "topic", "device_id", "since", "until")
"""The options that choose among rejected readings."""
DEFAULT_LISTED, MAX_LISTED = 100, 10_000
MAX_DIGITS = 19
SHIFT = re.compile(r"[+-]?[0-9]{1,10}(\.[0-9]{1,6})?")
KINDS: tuple[Kind, ...] = (*STREAMS.values(), SESSION_EVENTS)
"""What a rejected record may be meant to hold."""
KAFKA_BEGINS = datetime(1970, 1, 1, tzinfo=UTC)


def parser() -> Parser:
    """The commands and their options."""
    top = Parser(
        prog="python -m ingest_worker",
        description="Without a command: one worker replica, until SIGTERM.",
    )
    commands = top.add_subparsers(dest="command")
    command = commands.add_parser("reconcile", help="check that the books balance")
    _add_json(command)
    command.add_argument("--quick", action="store_true", help="leave the tables out")

    positions = commands.add_parser("positions", help="where the group stands")
    actions = positions.add_subparsers(dest="action", required=True)
    _add_json(actions.add_parser("list", help="every position, with its lag"))
    command = actions.add_parser("set", help="move positions of the group")
    command.add_argument("--topic", required=True)
    command.add_argument("--partition", required=True, type=_partition, help="a number, or all")
    command.add_argument("--to", required=True, type=_offset, help="earliest, latest or an offset")
    command.add_argument("--force", action="store_true", help="also under a live owner")

    _add_rejected(commands.add_parser("rejected", help="what was refused, and why"))

    command = commands.add_parser("replay", help="read a stretch of Kafka again, fill what lacks")
    command.add_argument("--topic", required=True)
    for name, dest, text in (
        ("--from", "since", "Kafka's own time"),
        ("--to", "until", "default: the log's end at the start"),
    ):
        command.add_argument(
            name, dest=dest, type=_kafka_time, required=dest == "since", metavar="TIME", help=text
        )
    return top


def _add_rejected(rejected: argparse.ArgumentParser) -> None:
    actions = rejected.add_subparsers(dest="action", required=True)
    command = actions.add_parser("list", help="one line each, newest first")
    _add_filters(command)
    command.add_argument("--resolved", action=argparse.BooleanOptionalAction, default=False)
    text = f"at most so many, 1 to {MAX_LISTED:,} (default {DEFAULT_LISTED})"
    command.add_argument("--limit", type=_limit, default=DEFAULT_LISTED, metavar="N", help=text)
    _add_json(command)
    command = actions.add_parser("show", help="one, with its bytes")
    command.add_argument("id", type=_rejected_id)
    _add_json(command)
    command = actions.add_parser("replay", help="store what is valid by now; exit 1 if some is not")
    command.add_argument("id", type=_rejected_id, nargs="?")
    command.add_argument("--all", action="store_true", help="every unresolved one")
    command.add_argument("--dry-run", action="store_true", help="say what would happen, only")
    _add_filters(command)
    for name, check, metavar, text in (
        ("--drop", _droppable, "FIELD", "store it without this field"),
        ("--set", _value, "FIELD=VALUE", "a field's value, as JSON"),
    ):
        command.add_argument(
            name, type=check, metavar=metavar, action="append", default=[], help=text
        )
    command.add_argument("--shift", type=_shift, default=0, metavar="SECONDS", help="move its time")
    command.add_argument("--unit", choices=UNITS, help="what its energy was sent in")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON")


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", choices=REASONS)
    command.add_argument("--topic", type=_text)
    command.add_argument("--device-id", type=_text)
    command.add_argument("--since", type=_time, metavar="TIME", help="rejected at or after")
    command.add_argument("--until", type=_time, metavar="TIME", help="rejected before")


def rescue_of(arguments: argparse.Namespace) -> Rescue:
    """How rejected readings are to be changed."""
    return Rescue(
        values=dict(arguments.set),
        unit=arguments.unit,
        shift_us=arguments.shift,
        drop=tuple(dict.fromkeys(arguments.drop)),
    )


def _droppable(text: str) -> str:
    names = droppable(KINDS)
    if text not in names:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
    return text


def _value(text: str) -> tuple[str, bytes]:
    name, _, value = text.partition("=")
    names = dict.fromkeys(name for kind in KINDS for name in kind.json_names)
    if name not in names:
        raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(names)}")
    try:
        return name, bytes(msgspec.json.decode(storable(value), type=msgspec.Raw)).strip()
    except (ValueError, RecursionError):
        raise argparse.ArgumentTypeError(
            f"{value!r} is no JSON value such as 21.5 or '\"VH-1\"'"
        ) from None


def _shift(text: str) -> int:
    """Microseconds."""
    if not SHIFT.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds such as -3600 or 0.5"
        )
    return int(Decimal(text) * SECOND_US)


def _text(text: str) -> str:
    try:
        return storable(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} {error}") from None


def _whole(text: str, what: str, most: int, *, least: int = 0) -> int:
    """A whole number within bounds; `what` says in the error what is allowed."""
    digits = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    if not (digits and least <= int(text) <= most):
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return int(text)


def _rejected_id(text: str) -> int:
    return _whole(text, "the id of a rejected reading", MAX_ID)


def _limit(text: str) -> int:
    return _whole(text, f"a number from 1 to {MAX_LISTED:,}", MAX_LISTED, least=1)


def _partition(text: str) -> str:
    return text if text == "all" else str(_whole(text, "a partition's number, or all", MAX_ID))


def _offset(text: str) -> str:
    if text in ("earliest", "latest"):
        return text
    return str(_whole(text, "earliest, latest or an offset", MAX_ID))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        allowed = "2026-01-31 or 2026-01-31T12:00:00Z"
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as {allowed}") from None


def _kafka_time(text: str) -> datetime:
    """A time that Kafka can look for: a negative one has another meaning for it."""
    time = _time(text)
    if time < KAFKA_BEGINS:
        raise argparse.ArgumentTypeError(f"{text!r} lies before 1970, where Kafka's times begin")
    return time
