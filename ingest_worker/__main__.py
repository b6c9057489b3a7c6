"""`python -m ingest_worker`: a worker replica, or one of the operator's commands beside it."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

import psycopg
import uvloop
from aiokafka.errors import KafkaError

from ingest_worker.commands import replay as kafka_replay
from ingest_worker.commands.positions import list_positions, set_positions
from ingest_worker.commands.reconcile import reconcile
from ingest_worker.commands.rejected import list_rejected, replay_rejected, show_rejected
from ingest_worker.errors import CommandRefusedError, FencedError, SideTaskError
from ingest_worker.run import run
from reporting.logs import configure_logging
from schemas.rejected import REASONS
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from sql.errors import UnknownRejectedError

FILTERS = ("reason", "topic", "device_id", "since", "until")


def main() -> int:
    """Run one command; returns the exit status: 0, 1 for a bad outcome, 2 for bad input."""
    arguments = _parser().parse_args()
    try:
        settings = load_settings()
        configure_logging(settings.log_format)
        return _execute(settings, arguments)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (
        CommandRefusedError,
        UnknownRejectedError,
        FencedError,
        SideTaskError,
        KafkaError,
        psycopg.Error,
        OSError,
    ) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1


def _execute(settings: Settings, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case None:
            uvloop.run(run(settings))
        case "reconcile":
            balanced = reconcile(settings, quick=arguments.quick, as_json=arguments.json)
            return 0 if balanced else 1
        case "positions" if arguments.action == "list":
            list_positions(settings)
        case "positions":
            set_positions(
                settings,
                arguments.topic,
                arguments.partition,
                arguments.to,
                force=arguments.force,
            )
        case "replay":
            asyncio.run(
                kafka_replay.replay(settings, arguments.topic, arguments.since, arguments.until)
            )
        case "rejected":
            return _execute_rejected(settings, arguments)
    return 0


def _execute_rejected(settings: Settings, arguments: argparse.Namespace) -> int:
    if arguments.action == "show":
        show_rejected(settings, arguments.id)
        return 0
    filters = {name: getattr(arguments, name) for name in FILTERS}
    if arguments.action == "list":
        listing = {"resolved": arguments.resolved, "limit": arguments.limit}
        list_rejected(settings, filters | listing)
        return 0
    named = [arguments.id is not None, arguments.all, any(filters.values())]
    if sum(named) != 1:
        print("error: name either an id, or filters, or --all", file=sys.stderr)
        return 2
    done = replay_rejected(settings, arguments.id, filters, dry_run=arguments.dry_run)
    return 0 if done else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ingest_worker",
        description="Without a command: one worker replica, until SIGTERM.",
    )
    commands = parser.add_subparsers(dest="command")
    command = commands.add_parser("reconcile", help="check that the books balance")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--quick", action="store_true", help="leave the tables out")

    positions = commands.add_parser("positions", help="where the group stands")
    actions = positions.add_subparsers(dest="action", required=True)
    actions.add_parser("list", help="every position, with its lag")
    command = actions.add_parser("set", help="move positions of the group")
    command.add_argument("--topic", required=True)
    command.add_argument("--partition", required=True, type=_partition, help="a number, or all")
    command.add_argument("--to", required=True, type=_offset, help="earliest, latest or an offset")
    command.add_argument("--force", action="store_true", help="also under a live owner")

    rejected = commands.add_parser("rejected", help="what was refused, and why")
    actions = rejected.add_subparsers(dest="action", required=True)
    command = actions.add_parser("list", help="one line each, newest first")
    _add_filters(command)
    command.add_argument("--resolved", action=argparse.BooleanOptionalAction, default=False)
    command.add_argument("--limit", type=int, default=100)
    command = actions.add_parser("show", help="one, with its bytes")
    command.add_argument("id", type=int)
    command = actions.add_parser("replay", help="store what is valid by now; exit 1 if some is not")
    command.add_argument("id", type=int, nargs="?")
    command.add_argument("--all", action="store_true", help="every unresolved one")
    command.add_argument("--dry-run", action="store_true", help="say what would happen, only")
    _add_filters(command)

    command = commands.add_parser("replay", help="read a stretch of Kafka again, fill what lacks")
    command.add_argument("--topic", required=True)
    command.add_argument(
        "--from", dest="since", type=_time, required=True, metavar="TIME", help="Kafka's own time"
    )
    command.add_argument(
        "--to", dest="until", type=_time, metavar="TIME", help="default: the log's end at the start"
    )
    return parser


def _add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reason", choices=REASONS)
    command.add_argument("--topic")
    command.add_argument("--device-id")
    command.add_argument("--since", type=_time, metavar="TIME", help="rejected at or after")
    command.add_argument("--until", type=_time, metavar="TIME", help="rejected before")


def _partition(text: str) -> str:
    if text != "all":
        int(text)
    return text


def _offset(text: str) -> str:
    if text not in ("earliest", "latest") and int(text) < 0:
        raise ValueError
    return text


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
