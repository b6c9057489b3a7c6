"""`python -m sql migrate|status`: bring the database's schema up to date, or say where it is."""

import sys

import psycopg

from reporting.applications import Application
from reporting.command import BAD_INPUT_STATUS, FAILED_STATUS, Parser, fail, print_json, run, say
from reporting.logs import configure_logging
from reporting.tables import to_the_second
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from sql.connect import Connection, connect, conninfo
from sql.errors import MigrationError
from sql.migrate import migrate, migrations
from sql.tls_files import check_files


def main() -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args()
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        check_files(settings)
        with connect(conninfo(settings, Application.MIGRATION)) as connection:
            if arguments.command == "migrate":
                return _migrate(connection, settings)
            return _print_status(connection, as_json=arguments.json)
    except SettingsError as error:
        fail(error)
        return BAD_INPUT_STATUS
    except (MigrationError, psycopg.Error) as error:
        fail(one_line(error))
        return FAILED_STATUS


def _parser() -> Parser:
    parser = Parser(prog="python -m sql", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="apply the migrations that are missing")
    command = commands.add_parser("status", help="list the migrations; exit 1 when one is missing")
    command.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _migrate(connection: Connection, settings: Settings) -> int:
    say(f"migrating {settings.db_database} on {settings.db_host}:{settings.db_port}")
    for name in migrate(connection):
        print(f"applied {name}")
    say("up to date")
    return 0


def _print_status(connection: Connection, *, as_json: bool) -> int:
    """Print every migration and when it was applied; returns 1 when one was not."""
    found = migrations(connection)
    if as_json:
        shown = [
            {"name": one.name, "appliedAt": one.applied_at, "known": one.text is not None}
            for one in found
        ]
        print_json(shown)
    else:
        for one in found:
            at = to_the_second(one.applied_at) if one.applied_at else "missing"
            known = "" if one.text is not None else "  (unknown to this version)"
            print(f"{one.name}  {at}{known}")
    return 0 if all(one.applied_at for one in found) else 1


if __name__ == "__main__":
    sys.exit(run(main))
