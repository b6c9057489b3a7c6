"""rollups: how fast housekeeping sums the hours that readings came in for.

One worker does it for all, on one connection, in rounds. Every device reports a few times within
one hour, and every vehicle is in a session; a worker has stored it all and ended before.
"""

import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bench.backlog import Backlog, backlog_fleet, produce
from bench.checks import check_books, one_value
from bench.draining import drain
from bench.errors import BenchError
from bench.figures import Figures, measure_in_turns, medians
from bench.lab import Environment, Lab
from bench.options import Options
from bench.usage import cpu_s
from ingest_worker.housekeeping import rollups
from reporting.applications import Application
from schemas.settings import Settings
from sql.connect import connect, conninfo

MINUTES = 3
UNBOUNDED_S = 1e9
IN_SESSIONS = """
INSERT INTO vehicles (vehicle_id) SELECT vehicle_id FROM vehicle_live_state;
INSERT INTO meters (meter_id) SELECT meter_id FROM meter_live_state;
INSERT INTO charging_sessions (meter_id, vehicle_id, started_at)
SELECT meter_id, vehicle_id, '{start}'
FROM (SELECT meter_id, row_number() OVER (ORDER BY meter_id) AS n FROM meter_live_state) AS meter
JOIN (SELECT vehicle_id, row_number() OVER (ORDER BY vehicle_id) AS n FROM vehicle_live_state)
    AS vehicle USING (n);
TRUNCATE vehicle_hours, vehicle_days, charger_hours, rollup_log;
INSERT INTO rollup_log (stream, devices, first, past)
SELECT 'vehicle', array_agg(vehicle_id), '{start}', '{start}'::timestamptz + interval '3 minutes'
FROM (SELECT vehicle_id, row_number() OVER () AS n FROM vehicle_live_state) AS vehicle
GROUP BY n / 10000;
ANALYZE
"""
"""Each vehicle charges at a meter of its own from the first reading on, and all is to be summed."""


def run(lab: Lab, options: Options) -> dict[str, Any]:
    """The runs, and the medians over them."""
    fleet = backlog_fleet(replace(options, minutes=MINUTES))
    backlog = produce(lab, fleet, options.first_form)
    start = fleet.streams["meter"].start
    measure = partial(_measure, lab, backlog, options.devices, start)
    runs = measure_in_turns(options, {"one hour": measure})
    lab.drop_topics(backlog.topics)
    return {"readings": fleet.readings, "runs": runs, "median": medians(runs)}


def _measure(lab: Lab, backlog: Backlog, vehicles: int, start: datetime) -> Figures:
    with lab.database(backlog.topics) as environment:
        _sum(lab, environment)  # by which rules: else all is to be done anew
        drain(lab, environment, backlog)
        check_books(lab, environment, read=backlog.readings, stored=backlog.distinct)
        with lab.connect(environment) as connection:
            connection.execute(IN_SESSIONS.format(start=start.isoformat()).encode())
        cpu_before = cpu_s(lab.postgres.pid)
        seconds = _sum(lab, environment)
        cpu = cpu_s(lab.postgres.pid) - cpu_before
        hours = one_value(lab, environment, "SELECT count(*) FROM vehicle_hours")
        size = one_value(lab, environment, "SELECT pg_total_relation_size('vehicle_hours')")
    if hours != vehicles:
        raise BenchError(f"{hours:,} hours of {vehicles:,} vehicles were summed")
    return {
        "readings_s": backlog.readings / seconds,
        "vehicle_hours_s": hours / seconds,
        "postgres_cpu_us": cpu * 1e6 / hours,
        "row_bytes": size / hours,
        "seconds": seconds,
    }


def _sum(lab: Lab, environment: Environment) -> float:
    """Sum all that is logged; returns the seconds it took."""
    settings = Settings.model_validate({k.lower(): v for k, v in environment.items()})
    with connect(conninfo(settings, Application.BENCH)) as connection:
        began = time.monotonic()
        rollups.bring_up_to_date(connection, settings, datetime.now(UTC), UNBOUNDED_S)
        return time.monotonic() - began
