"""`python -m sql migrate|status|grant|distribute`: the database's schema, rights and place."""

import argparse
import sys

import psycopg

from reporting.applications import Application
from reporting.command import BAD_INPUT_STATUS, FAILED_STATUS, Parser, fail, print_json, run, say
from reporting.logs import configure_logging
from reporting.tables import to_the_second
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from sql.connect import Connection, connect, conninfo
from sql.distribute import distribute
from sql.errors import GrantError, MigrationError
from sql.grant import KINDS, flaws, grant
from sql.migrate import NOT_MIGRATED, is_newer, migrate, migrations
from sql.tls_files import check_files

WHOSE = {"worker": "the workers", "api": "the API", "reader": "analysts' own SQL"}


def main() -> int:
    """Run one command; returns the exit status."""
    arguments = _parser().parse_args()
    try:
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        check_files(settings)
        with connect(conninfo(settings, Application.MIGRATION)) as connection:
            match arguments.command:
                case "migrate":
                    return _migrate(connection, settings)
                case "grant":
                    return _grant(connection, arguments)
                case "distribute":
                    distribute(connection, arguments.shards)
                    return 0
                case _:
                    return _print_status(connection, as_json=arguments.json)
    except SettingsError as error:
        fail(error)
        return BAD_INPUT_STATUS
    except (MigrationError, GrantError, psycopg.Error) as error:
        fail(one_line(error))
        return FAILED_STATUS


def _parser() -> Parser:
    parser = Parser(prog="python -m sql", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="apply the migrations that are missing")
    text = "list the migrations; exit 1 when one is missing, or a right of a role"
    command = commands.add_parser("status", help=text)
    command.add_argument("--json", action="store_true", help="print JSON")
    command = commands.add_parser("distribute", help="spread the large tables over Citus' nodes")
    command.add_argument("--shards", type=int, default=4, help="how many (default: 4)")
    text = "give roles that are there the rights they need, and no others"
    command = commands.add_parser("grant", help=text)
    for kind, whose in WHOSE.items():
        command.add_argument(f"--{kind}", metavar="ROLE", help=f"the role of {whose}")
    return parser


def _migrate(connection: Connection, settings: Settings) -> int:
    say(f"migrating {settings.db_database} on {settings.db_host}:{settings.db_port}")
    for name in migrate(connection):
        print(f"applied {name}")
    say("up to date")
    return 0


def _grant(connection: Connection, arguments: argparse.Namespace) -> int:
    roles = {kind: getattr(arguments, kind) for kind in KINDS if getattr(arguments, kind)}
    if not roles:
        fail("name at least one of " + ", ".join(f"--{kind}" for kind in KINDS))
        return BAD_INPUT_STATUS
    found = migrations(connection)
    if not all(one.applied_at for one in found):
        raise MigrationError(NOT_MIGRATED)
    grant(connection, roles, revoke=not is_newer(found))
    for kind, role in roles.items():
        say(f"{role} has the rights of {WHOSE[kind]}")
    return 0


def _print_status(connection: Connection, *, as_json: bool) -> int:
    """Print every migration and when it was applied; returns 1 when one was not.

    So it does when a role has other rights than it needs; those are said on stderr.
    """
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
    complete = all(one.applied_at for one in found)
    lines = [] if is_newer(found) else flaws(connection)
    for line in lines:
        say(line)
    if lines:
        fail("rights are not as they should be: `python -m sql grant` makes them so")
    return 0 if complete and not lines else 1


if __name__ == "__main__":
    sys.exit(run(main))
