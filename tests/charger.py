"""A made-up third stream, and the project's commands with it: `python -m tests.charger api`.

Its description and its tables are all that a third stream takes. It is added to the streams before
anything that follows from them is imported, as if it stood in `schemas/streams`.
"""

import runpy
import sys

from schemas.streams import STREAMS
from schemas.streams.stream import Field, Stream

CHARGER = Stream(
    name="charger",
    plural="chargers",
    id_field="chargerId",
    id_column="charger_id",
    id_example="CHG-001",
    fields=(
        Field(
            name="cableTemp",
            column="cable_temp",
            type="float4",
            unit="C",
            minimum=-50,
            maximum=150,
            example=31.5,
            required=False,
            expendable=True,
        ),
        Field(
            name="powerKw",
            column="power_kw",
            type="float8",
            unit="kW",
            minimum=0,
            maximum=1000,
            example=11.2,
        ),
    ),
)
MIGRATION = """
CREATE TABLE charger_live_state (
    power_kw double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    newest_at timestamptz,
    cable_temp real,
    charger_id text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 50);
CREATE TABLE charger_telemetry_history (
    power_kw double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    cable_temp real,
    charger_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (charger_id, "timestamp")
) PARTITION BY RANGE ("timestamp");
"""

if __name__ == "__main__":
    STREAMS[CHARGER.name] = CHARGER
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
