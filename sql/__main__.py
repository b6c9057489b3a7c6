"""`python -m sql migrate|status`: bring the database's schema up to date, or say where it is."""

import argparse
import sys

import psycopg

from reporting.applications import Application
from schemas.settings import SettingsError, load_settings
from schemas.text import one_line
from sql.connect import connect, conninfo
from sql.errors import MigrationError
from sql.migrate import migrate, migrations


def main() -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sql", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="apply the migrations that are missing")
    commands.add_parser("status", help="list the migrations; exit 1 when one is missing")
    command = parser.parse_args().command
    try:
        settings = load_settings()
        with connect(conninfo(settings, Application.MIGRATION)) as connection:
            database = f"{settings.db_database} on {settings.db_host}:{settings.db_port}"
            if command == "migrate":
                print(f"migrating {database}", file=sys.stderr)
                for name in migrate(connection):
                    print(f"applied {name}")
                print("up to date", file=sys.stderr)
                return 0
            found = migrations(connection)
            for migration in found:
                known = "" if migration.text is not None else "  (unknown to this version)"
                print(f"{migration.name}  {migration.applied_at or 'missing'}{known}")
            return 0 if all(migration.applied_at for migration in found) else 1
    except (SettingsError, MigrationError, psycopg.Error) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1


if __name__ == "__main__":
    sys.exit(main())
