-- The schema of the first release. Fixed-width columns come before text ones: it saves padding.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- Devices ---------------------------------------------------------------------------------------

CREATE TABLE meters (
    meter_id text COLLATE "C" PRIMARY KEY CHECK (length(meter_id) BETWEEN 1 AND 64),
    location text,
    capacity_kw double precision,
    installed_at timestamptz,
    is_active boolean NOT NULL DEFAULT true,
    energy_reading text CHECK (energy_reading IN ('interval', 'register')),
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE vehicles (
    vehicle_id text COLLATE "C" PRIMARY KEY CHECK (length(vehicle_id) BETWEEN 1 AND 64),
    vin text CHECK (length(vin) <= 17),
    battery_capacity_kwh double precision,
    model text,
    is_active boolean NOT NULL DEFAULT true,
    energy_reading text CHECK (energy_reading IN ('interval', 'register')),
    metadata jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- Charging sessions: a meter and a vehicle are in one session at a time ------------------------

CREATE TABLE charging_sessions (
    session_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    meter_id text COLLATE "C" NOT NULL REFERENCES meters,
    vehicle_id text COLLATE "C" NOT NULL REFERENCES vehicles,
    started_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= started_at),
    is_active boolean NOT NULL GENERATED ALWAYS AS (ended_at IS NULL) STORED,
    CONSTRAINT one_session_a_meter
        EXCLUDE USING gist (meter_id WITH =, tstzrange(started_at, ended_at) WITH &&),
    CONSTRAINT one_session_a_vehicle
        EXCLUDE USING gist (vehicle_id WITH =, tstzrange(started_at, ended_at) WITH &&)
);

CREATE INDEX charging_sessions_active ON charging_sessions (started_at) WHERE ended_at IS NULL;

-- Live state: the newest reading of each device ------------------------------------------------
-- Half-filled pages leave room for the next version beside the last one (HOT updates).

CREATE TABLE meter_live_state (
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    voltage real NOT NULL,
    meter_id text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 50);

CREATE TABLE vehicle_live_state (
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    soc real NOT NULL,
    battery_temp real NOT NULL,
    vehicle_id text COLLATE "C" PRIMARY KEY
) WITH (fillfactor = 50);

-- History: every reading, one day partition a UTC day ------------------------------------------
-- The key carries what the analytics read, so that they are answered from the index alone.

CREATE TABLE meter_telemetry_history (
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    voltage real NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (meter_id, "timestamp") INCLUDE (kwh_consumed_ac)
) PARTITION BY RANGE ("timestamp");

CREATE TABLE vehicle_telemetry_history (
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    soc real NOT NULL,
    battery_temp real NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (vehicle_id, "timestamp") INCLUDE (kwh_delivered_dc, battery_temp)
) PARTITION BY RANGE ("timestamp");

-- Create the day partition of a history table unless it is there; true when it was created.
-- The table is made by itself and attached afterwards: ATTACH does not block a running COPY,
-- CREATE TABLE ... PARTITION OF does.
CREATE FUNCTION create_day_partition(history text, day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    partition text := history || '_' || to_char(day, 'YYYY_MM_DD');
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    past timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('create_day_partition'), hashtext(partition));
    -- Not to_regclass: what it remembers may be older than the wait for the lock.
    IF EXISTS (
        SELECT FROM pg_class
        WHERE relname = partition
          AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = history::regclass)
    ) THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
        partition, history);
    EXECUTE format(
        'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        history, partition, first, past);
    RETURN true;
END $$;

-- Days that retention took out of history, with the rows they had: the books count them on.
CREATE TABLE retired_days (
    history text NOT NULL,
    day date NOT NULL,
    rows bigint NOT NULL,
    retired_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (history, day)
);

-- Days whose keys were built anew once they were over: their size then, null before; and how many
-- rows had been inserted when they were last looked at.
CREATE TABLE packed_days (
    history text NOT NULL,
    day date NOT NULL,
    inserted bigint NOT NULL,
    key_bytes bigint,
    tried_at timestamptz,
    PRIMARY KEY (history, day)
);

-- Microseconds since 2000-01-01 UTC, as the workers count, to a time.
CREATE FUNCTION from_micros(micros bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN timestamptz '2000-01-01 00:00:00+00' + micros * interval '1 microsecond';

-- Which rows of a staging table PostgreSQL refuses, and why. Each is stored by itself, by a statement
-- that takes its ctid, and taken back at once. What is no fault of the row is raised: its class is
-- another, or its day partition is missing (a check violation without a constraint's name).
CREATE FUNCTION refused_rows(staged regclass, store_one text)
RETURNS TABLE (seq integer, detail text)
LANGUAGE plpgsql AS $$
DECLARE
    place tid;
    state text;
    violated text;
BEGIN
    FOR seq, place IN EXECUTE format('SELECT seq, ctid FROM %s ORDER BY seq', staged) LOOP
        BEGIN
            EXECUTE store_one USING place;
            RAISE SQLSTATE 'UNDO1';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                state = RETURNED_SQLSTATE, detail = MESSAGE_TEXT, violated = CONSTRAINT_NAME;
            CONTINUE WHEN state = 'UNDO1';
            IF NOT (left(state, 2) IN ('22', '23') OR state = 'P0001')
                OR (state = '23514' AND violated = '')
            THEN
                RAISE;
            END IF;
            detail := state || ' ' || detail;
            RETURN NEXT;
        END;
    END LOOP;
END $$;

-- Positions and books --------------------------------------------------------------------------

CREATE TABLE ingest_offsets (
    group_id text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    -- The last record before next_offset that was read, and Kafka's own time of it in ms: a topic
    -- that was deleted and created again has another record there.
    last_offset bigint,
    last_record_ms bigint,
    -- Why the partition is not read until an operator sets its position.
    stopped text,
    stored bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    read bigint NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE position_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    from_offset bigint,
    to_offset bigint NOT NULL,
    forced boolean NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- Quarantine -----------------------------------------------------------------------------------

CREATE TABLE rejected_records (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    -- Place of the reading in the record; null when the record could not be split.
    record_index integer,
    -- Kafka's own time of the record in ms.
    record_ms bigint NOT NULL,
    device_id text,
    reason text NOT NULL CHECK (
        reason IN ('malformed', 'invalid', 'too_old', 'in_future', 'conflict', 'refused')),
    detail text NOT NULL,
    -- Null when the quarantine was full: Kafka has them at that offset.
    raw bytea,
    rejected_at timestamptz NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    resolved_by text,
    outcome text CHECK (outcome IN ('stored', 'duplicate')),
    -- A reading is rejected once, however often it is read.
    CONSTRAINT rejected_once UNIQUE NULLS NOT DISTINCT
        (topic, partition, "offset", record_index, record_ms)
);

-- Operators ask by topic and reason, the books for their group as well: from the index alone.
CREATE INDEX rejected_records_open ON rejected_records (topic, reason, group_id)
    WHERE resolved_at IS NULL;
CREATE INDEX rejected_records_device ON rejected_records (device_id, id);
