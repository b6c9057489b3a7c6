"""`python -m sql migrate|status|grant|distribute|rebalance`: schema, rights, where tables lie."""

import argparse
import sys

import psycopg

from reporting.applications import Application
from reporting.command import BAD_INPUT_STATUS, FAILED_STATUS, Parser, fail, print_json, run, say
from reporting.logs import configure_logging
from reporting.tables import to_the_second
from schemas.settings import Settings, SettingsError, load_settings
from schemas.text import one_line
from sql.citus import has_citus
from sql.connect import Connection, connect, conninfo
from sql.distribute import MOST_SHARDS
from sql.errors import DistributionError, GrantError, MigrationError
from sql.grant import KINDS, flaws, grant
from sql.migrate import NOT_MIGRATED, is_newer, migrate, migrations
from sql.spread_command import (
    distribute_all,
    gather_all,
    is_whole,
    placement,
    placement_lines,
    rebalance_all,
)
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
                    if arguments.undo:
                        gather_all(connection)
                    else:
                        distribute_all(connection, arguments.shards)
                    return 0
                case "rebalance":
                    rebalance_all(connection, block_writes=arguments.block_writes)
                    return 0
                case _:
                    return _print_status(connection, as_json=arguments.json)
    except SettingsError as error:
        fail(error)
        return BAD_INPUT_STATUS
    except (MigrationError, GrantError, DistributionError, psycopg.Error) as error:
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
    which = command.add_mutually_exclusive_group()
    text = f"into how many pieces, 1 to {MOST_SHARDS} (default: two a node)"
    which.add_argument("--shards", type=_shards, metavar="N", help=text)
    text = "make them tables of the coordinator again; nobody can read one meanwhile"
    which.add_argument("--undo", action="store_true", help=text)
    text = "have Citus move shards until each node has its share; all may go on meanwhile"
    command = commands.add_parser("rebalance", help=text)
    text = "let writes to a shard wait while it is moved; needs no wal_level=logical"
    command.add_argument("--block-writes", action="store_true", help=text)
    text = "give roles that are there the rights they need, and no others"
    command = commands.add_parser("grant", help=text)
    for kind, whose in WHOSE.items():
        command.add_argument(f"--{kind}", metavar="ROLE", help=f"the role of {whose}")
    return parser


def _shards(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_SHARDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_SHARDS}")
    return int(text)


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

    So it does when a role has other rights than it needs, which is said on stderr, or when only
    some of the tables are distributed. With Citus where they lie is printed, too: then the JSON is
    an object, of which the migrations are one member.
    """
    found = migrations(connection)
    complete = all(one.applied_at for one in found)
    lying = placement(connection) if has_citus(connection) and complete else None
    if as_json:
        shown = [
            {"name": one.name, "appliedAt": one.applied_at, "known": one.text is not None}
            for one in found
        ]
        print_json(shown if lying is None else {"migrations": shown, **lying})
    else:
        for one in found:
            at = to_the_second(one.applied_at) if one.applied_at else "missing"
            known = "" if one.text is not None else "  (unknown to this version)"
            print(f"{one.name}  {at}{known}")
        for line in placement_lines(lying) if lying else ():
            print(line)
    lines = [] if is_newer(found) else flaws(connection)
    for line in lines:
        say(line)
    if lines:
        fail("rights are not as they should be: `python -m sql grant` makes them so")
    whole = lying is None or is_whole(lying)
    if not whole:
        fail("not all tables are distributed: `python -m sql distribute` goes on with it")
    return 0 if complete and whole and not lines else 1


if __name__ == "__main__":
    sys.exit(run(main))
