-- oldest code: 0004

-- Sessions as chargers speak: the charger's own transaction, which may be said again and again, and
-- what its register showed when the session started and ended, in kWh.
ALTER TABLE charging_sessions
    ADD transaction_id text COLLATE "C",
    ADD connector_id text,
    ADD meter_start double precision CHECK (meter_start >= 0),
    ADD meter_stop double precision CHECK (meter_stop >= 0);
CREATE UNIQUE INDEX charging_sessions_transaction ON charging_sessions (transaction_id)
    WHERE transaction_id IS NOT NULL;

-- Corrections --------------------------------------------------------------------------------------
-- What people say a device should have sent in [first, past). History stays as it was sent: what
-- corrections make of it stands in the two tables below, and is found by the functions.

CREATE TABLE corrections (
    correction_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- in the order in which they are applied
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    first timestamptz NOT NULL,
    past timestamptz NOT NULL,
    action text NOT NULL CHECK (action IN ('void', 'replace', 'shift', 'add')),
    shift_by interval CHECK ((shift_by IS NOT NULL) = (action = 'shift')),
    readings jsonb CHECK ((readings IS NOT NULL) = (action IN ('replace', 'add'))),
    reason text NOT NULL,
    made_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    undone_at timestamptz,
    undone_by text,
    CHECK (first < past)
);
CREATE INDEX corrections_of_device ON corrections (device_id, stream, number);

-- What corrections in force make of a device's readings in history that lie in [first, past): they are
-- moved by so much, or out if that is null. Stretches of a device do not overlap.
CREATE TABLE corrected_stretches (
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    first timestamptz NOT NULL,
    past timestamptz NOT NULL,
    moved_by interval,
    number bigint NOT NULL, -- of the newest correction that made it so
    PRIMARY KEY (device_id, stream, first),
    CHECK (first < past)
);

-- The readings that corrections in force brought in, where they are now.
CREATE TABLE meter_corrected_readings (
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    voltage real,
    number bigint NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (meter_id, "timestamp")
);
CREATE TABLE vehicle_corrected_readings (
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    soc real,
    battery_temp real,
    number bigint NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (vehicle_id, "timestamp")
);
