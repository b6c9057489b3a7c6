"""`python -m ingest_worker`: a worker replica, or one of the operator's commands beside it."""

import argparse
import asyncio
import sys

import psycopg
import uvloop
from aiokafka.errors import KafkaError

from ingest_worker.commands import replay as kafka_replay
from ingest_worker.commands.positions import list_positions, set_positions
from ingest_worker.commands.reconcile import reconcile
from ingest_worker.commands.rejected import list_rejected, replay_rejected, show_rejected
from ingest_worker.errors import CommandRefusedError, FencedError, SideTaskError
from ingest_worker.options import FILTERS, parser, rescue_of
from ingest_worker.run import run
from reporting import command
from reporting.applications import Application
from reporting.logs import configure_logging
from reporting.tracing import start_tracing, stop_tracing
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from sql.connect import connect, conninfo
from sql.errors import MigrationError, UnknownRejectedError
from sql.migrate import NOT_MIGRATED, is_current
from sql.tls_files import check_files

FAILURES = (
    CommandRefusedError,
    UnknownRejectedError,
    FencedError,
    SideTaskError,
    MigrationError,
    KafkaError,
    psycopg.Error,
    OSError,
)
"""What ends a command with one line and status 1."""


def main() -> int:
    """Run one command; returns the exit status: 0, 1 for a bad outcome, 2 for bad input."""
    arguments = parser().parse_args()
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        check_files(settings)
        if arguments.command is None:
            start_tracing("energy-ingest-worker")
            try:
                uvloop.run(run(settings))
            finally:
                stop_tracing()
            return 0
        _check_schema(settings)
        return _execute(settings, arguments)
    except SettingsError as error:
        command.fail(error)
        return command.BAD_INPUT_STATUS
    except BrokenPipeError:
        raise  # nobody reads what the command prints
    except FAILURES as error:
        command.fail(one_line(error))
        return command.FAILED_STATUS


def _check_schema(settings: Settings) -> None:
    """Raise MigrationError unless the database has the tables that the commands work on."""
    with connect(conninfo(settings, Application.MIGRATION)) as connection:
        if not is_current(connection):
            raise MigrationError(NOT_MIGRATED)


def _execute(settings: Settings, arguments: argparse.Namespace) -> int:
    match arguments.command:
        case "reconcile":
            balanced = reconcile(settings, quick=arguments.quick, as_json=arguments.json)
            return 0 if balanced else 1
        case "positions" if arguments.action == "list":
            list_positions(settings, as_json=arguments.json)
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
        show_rejected(settings, arguments.id, as_json=arguments.json)
        return 0
    filters = {name: getattr(arguments, name) for name in FILTERS}
    if arguments.action == "list":
        listing = {"resolved": arguments.resolved, "limit": arguments.limit}
        list_rejected(settings, filters | listing, as_json=arguments.json)
        return 0
    named = [arguments.id is not None, arguments.all, any(filters.values())]
    if sum(named) != 1:
        command.fail("name either an id, or filters, or --all")
        return command.BAD_INPUT_STATUS
    rescue = rescue_of(arguments)
    done = replay_rejected(
        settings, arguments.id, filters, rescue=rescue, dry_run=arguments.dry_run
    )
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(command.run(main))
