"""The yardstick: `psql \\copy` of the same rows, in order of arrival, into the same tables.

The database is empty, migrated and has its day partitions. Each stream is one command and one
transaction. Only history is written: there is no live state, no position and no check.
"""

import os
import subprocess
import time
from datetime import timedelta
from pathlib import Path

from bench.checks import check_rows, history_bytes, wal_bytes
from bench.errors import BenchError
from bench.lab import Lab
from bench.readings import BenchFleet, as_copy_line
from bench.usage import cpu_s
from reporting.progress import Progress
from schemas.streams.stream import Stream
from schemas.streams.times import DAY_US, to_micros
from sql.store import create_days


def write_files(directory: Path, fleet: BenchFleet) -> dict[str, Path]:
    """Write the rows to files for `\\copy`; return the files by the stream's name."""
    files = {}
    progress = Progress("rows for \\copy", fleet.readings)
    for name, readings in fleet.streams.items():
        files[name] = directory / f"{name}.copy"
        with files[name].open("w", encoding="ascii") as file:
            for minute in range(fleet.minutes):
                fields = readings.minute(minute)
                file.writelines(as_copy_line(fields(device)) for device in readings.order)
                progress.advance(len(readings.order))
    progress.close()
    return files


def measure(lab: Lab, files: dict[str, Path], fleet: BenchFleet) -> dict[str, float]:
    """Copy the rows into a new database once; return the rate and what it cost."""
    topics = {name: f"unused-{name}" for name in fleet.streams}
    with lab.database(topics) as environment:
        with lab.connect(environment) as connection:
            for readings in fleet.streams.values():
                create_days(connection, readings.stream, _days(fleet))
            connection.execute("CHECKPOINT")
        wal_before, cpu_before = wal_bytes(lab, environment), cpu_s(lab.postgres.pid)
        began = time.monotonic()
        for name, readings in fleet.streams.items():
            copy(lab, environment["DB_DATABASE"], readings.stream, files[name])
        seconds = time.monotonic() - began
        used = cpu_s(lab.postgres.pid) - cpu_before
        written = wal_bytes(lab, environment) - wal_before
        check_rows(lab, environment, fleet.readings)
        return {
            "readings_s": fleet.readings / seconds,
            "seconds": seconds,
            "postgres_cpu_us": used * 1e6 / fleet.readings,
            "wal_bytes": written / fleet.readings,
            **history_bytes(lab, environment),
        }


def copy(lab: Lab, database: str, stream: Stream, file: Path) -> None:
    """Copy one file with psql. Raises BenchError when that fails."""
    columns = ", ".join(f'"{column}"' for column in stream.row_columns)
    statement = f"\\copy {stream.history_table} ({columns}) FROM '{file}'"
    services = lab.stack.environment
    done = subprocess.run(
        [str(lab.postgres.programs / "psql"), "-X", "-q", "-c", statement],
        env=os.environ
        | {
            "PGHOST": services["DB_HOST"],
            "PGPORT": services["DB_PORT"],
            "PGUSER": services["DB_USERNAME"],
            "PGPASSWORD": services["DB_PASSWORD"],
            "PGDATABASE": database,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"psql: {done.stderr.strip()}")


def _days(fleet: BenchFleet) -> list[int]:
    starts = [readings.start for readings in fleet.streams.values()]
    first = to_micros(min(starts)) // DAY_US
    last = to_micros(max(starts) + timedelta(minutes=fleet.minutes)) // DAY_US
    return list(range(first, last + 1))
