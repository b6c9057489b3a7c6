"""restore: how long a backup and a restore of a day of the whole fleet take, and their sizes.

pg_dump and pg_restore into another database, and pg_basebackup, on the server that holds the day.
"""

import os
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import day
from bench.backlog import last_day
from bench.errors import BenchError
from bench.lab import Environment, Lab
from bench.messages import say
from bench.options import Options
from devstack.postgres import PASSWORD, SUPERUSER

JOBS = "2"
MB = 1e6


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """Load the day, back it up in both ways, restore the dump; return seconds and megabytes."""
    topics = lab.topics()
    with lab.database(topics) as environment, tempfile.TemporaryDirectory() as name:
        disk = Path(name)
        loaded = day.load(lab, environment, replace(options, load="copy"), last_day())
        database = environment["DB_DATABASE"]
        copy = f"{database}_restored"
        lab.postgres.create_database(copy)
        try:
            found = {
                "readings": loaded["readings"],
                "database_mb": _database_mb(lab, environment),
                "dump_s": _timed(lab, "pg_dump", "-Fc", "-d", database, "-f", f"{disk}/dump"),
                "dump_mb": (disk / "dump").stat().st_size / MB,
                "restore_s": _timed(lab, "pg_restore", "-j", JOBS, "-d", copy, f"{disk}/dump"),
                "base_s": _timed(lab, "pg_basebackup", "-D", f"{disk}/base", "-c", "fast"),
            }
        finally:
            with lab.postgres.connect() as connection:
                connection.execute(f"DROP DATABASE {copy} WITH (FORCE)".encode())
    lab.drop_topics(topics)
    say("restore: " + ", ".join(f"{name} {value:,.4g}" for name, value in found.items()))
    return found


def _timed(lab: Lab, program: str, *words: str) -> float:
    """Run one of PostgreSQL's programs; returns its seconds."""
    reached = {"PGHOST": "127.0.0.1", "PGPORT": str(lab.postgres.port), "PGUSER": SUPERUSER}
    began = time.monotonic()
    done = subprocess.run(
        [str(lab.postgres.programs / program), *words],
        env={**os.environ, **reached, "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{program}: {done.stderr.strip()}")
    return time.monotonic() - began


def _database_mb(lab: Lab, environment: Environment) -> float:
    with lab.postgres.connect(environment["DB_DATABASE"]) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    return int(row[0]) / MB
