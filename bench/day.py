"""A full day of the fleet in one database, with its charging sessions.

Kafka and a worker load it in pieces, which keeps the log small: each piece is produced before the
worker starts, and its topics are dropped once it is stored. With `--load copy` it is `\\copy`.
"""

import time
from datetime import datetime, timedelta

from bench import yardstick
from bench.backlog import produce
from bench.checks import check_books, check_rows, history_bytes, one_value
from bench.draining import drain
from bench.lab import Environment, Lab
from bench.messages import say
from bench.options import Options
from bench.readings import BenchFleet, device_ids, fleet
from schemas.streams import METER, STREAMS, VEHICLE
from schemas.streams.times import DAY_US, to_micros
from sql.store import create_days

DAY_MINUTES = 1440
MAX_PIECE_READINGS = 8_000_000
FORM = "arrays"
SETTLE_WITHIN_S = 1800.0
LOOK_EVERY_S = 2.0
ENOUGH_VISIBLE = 0.95
VISIBLE = """
SELECT sum(relallvisible)::float8 / sum(relpages) FROM pg_class
WHERE relkind = 'r' AND relname ~ '_telemetry_history_' AND relpages > 0
"""
ROLLUP_BACKLOG = "SELECT count(*) FROM rollup_log"
PACKED = "SELECT count(*) FROM packed_days WHERE key_bytes IS NOT NULL"
SESSIONS = ((1.0, 3.0), (9.0, 2.5), (17.0, 4.0))
"""Start and length in hours; each vehicle's sessions are up to an hour later."""


def load(lab: Lab, environment: Environment, options: Options, start: datetime) -> dict[str, float]:
    """Load the day; return the figures of the drain, of which `--load copy` has none."""
    pieces = _pieces(options, start)
    total = sum(piece.readings for piece in pieces)
    figures: dict[str, float] = {"readings": total}
    if options.load == "copy":
        _copy(lab, environment, pieces)
        check_rows(lab, environment, total)
        return figures
    seconds = worker_cpu_s = postgres_cpu_s = peak = 0.0
    for piece in pieces:
        backlog = produce(lab, piece, FORM)
        found = drain(lab, lab.retargeted(environment, backlog.topics), backlog)
        lab.drop_topics(backlog.topics)
        say(f"{found.readings:,} readings at {found.rate:,.0f}/s")
        seconds += found.seconds
        worker_cpu_s += found.cpu.worker
        postgres_cpu_s += found.cpu.postgres
        peak = max(peak, found.peak_rss_mb)
    check_books(lab, environment, read=total, stored=total)
    return figures | {
        "readings_s": total / seconds,
        "worker_cpu_us": worker_cpu_s * 1e6 / total,
        "postgres_cpu_us": postgres_cpu_s * 1e6 / total,
        "peak_rss_mb": peak,
        **history_bytes(lab, environment),
    }


def add_sessions(lab: Lab, environment: Environment, devices: int, start: datetime) -> None:
    """Register every device, and enter three sessions a vehicle, each at another meter."""
    meters, vehicles = device_ids(METER, devices), device_ids(VEHICLE, devices)
    sessions = []
    for number, vehicle_id in enumerate(vehicles):
        for turn, (hour, hours) in enumerate(SESSIONS):
            began = start + timedelta(hours=hour, minutes=number % 60)
            meter_id = meters[(number + 31 * turn) % devices]
            sessions.append((meter_id, vehicle_id, began, began + timedelta(hours=hours)))
    with lab.connect(environment) as connection, connection.cursor() as cursor:
        for table, ids in (("meters (meter_id)", meters), ("vehicles (vehicle_id)", vehicles)):
            cursor.execute(f"INSERT INTO {table} SELECT unnest(%s::text[])".encode(), (ids,))
        columns = "meter_id, vehicle_id, started_at, ended_at"
        with cursor.copy(f"COPY charging_sessions ({columns}) FROM STDIN".encode()) as copy:
            for session in sessions:
                copy.write_row(session)


def settle(lab: Lab, environment: Environment) -> dict[str, float]:
    """Wait for autovacuum and the worker's housekeeping; return how far they came.

    A worker must be running. `all_visible` is the part of history's pages that index-only scans
    need not read, `rollup_backlog` the changes that the rollups do not include yet, `packed` the
    day partitions whose keys were rebuilt.
    """
    say("waiting for autovacuum and rollups")
    began = time.monotonic()
    while True:
        time.sleep(LOOK_EVERY_S)
        state = {
            "all_visible": float(one_value(lab, environment, VISIBLE) or 0),
            "rollup_backlog": float(one_value(lab, environment, ROLLUP_BACKLOG)),
            "packed": float(one_value(lab, environment, PACKED)),
            "seconds": time.monotonic() - began,
        }
        vacuuming = one_value(lab, environment, "SELECT count(*) FROM pg_stat_progress_vacuum")
        settled = (
            state["all_visible"] > ENOUGH_VISIBLE
            and not state["rollup_backlog"]
            and state["packed"] == len(STREAMS)
        )
        if (settled and not vacuuming) or state["seconds"] > SETTLE_WITHIN_S:
            return state | history_bytes(lab, environment)


def _pieces(options: Options, start: datetime) -> list[BenchFleet]:
    """The day in equal pieces of whole minutes."""
    readings = DAY_MINUTES * len(STREAMS) * options.day_devices
    minutes = -(-DAY_MINUTES // -(-readings // MAX_PIECE_READINGS))
    return [
        fleet(
            devices=options.day_devices,
            minutes=min(minutes, DAY_MINUTES - first),
            start=start + timedelta(minutes=first),
            clock=options.clock,
        )
        for first in range(0, DAY_MINUTES, minutes)
    ]


def _copy(lab: Lab, environment: Environment, pieces: list[BenchFleet]) -> None:
    for piece in pieces:
        files = yardstick.write_files(lab.stack.data_dir, piece)
        for name, readings in piece.streams.items():
            with lab.connect(environment) as connection:
                create_days(connection, readings.stream, [to_micros(readings.start) // DAY_US])
            yardstick.copy(lab, environment["DB_DATABASE"], readings.stream, files[name])
