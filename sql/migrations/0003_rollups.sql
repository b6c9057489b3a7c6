-- Rollups by the hour, and the log of what they have yet to take in.

-- What a session's readings of one hour add up to: its meter's, and its vehicle's.
CREATE TABLE session_hours (
    hour timestamptz NOT NULL,
    session_id uuid NOT NULL,
    ac_readings integer NOT NULL,
    dc_readings integer NOT NULL,
    counter_resets integer NOT NULL,
    energy_ac numeric NOT NULL,
    energy_dc numeric NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (hour, vehicle_id, session_id)
) WITH (fillfactor = 80);

-- What a vehicle's figures of one hour are: all of its sessions, and what is outside of them.
CREATE TABLE vehicle_hours (
    hour timestamptz NOT NULL,
    readings integer NOT NULL,
    ac_readings integer NOT NULL,
    dc_readings integer NOT NULL,
    counter_resets integer NOT NULL,
    temp_sum numeric NOT NULL,
    energy_ac numeric NOT NULL,
    energy_dc numeric NOT NULL,
    energy_outside numeric NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (hour, vehicle_id)
) WITH (fillfactor = 80);

-- The same by UTC day, so that a month of a fleet is summed as fast as a day. `hour` is the first.
CREATE TABLE vehicle_days (LIKE vehicle_hours INCLUDING ALL) WITH (fillfactor = 80);

-- Stretches of devices' time that changed; written in the transaction that changed them, deleted in
-- the one that brings the rollups up to date. Long lists of devices come from flushes.
CREATE TABLE rollup_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    logged_at timestamptz NOT NULL DEFAULT now(),
    first timestamptz NOT NULL,
    past timestamptz NOT NULL,
    -- Whole histories come after everything else: they may take long.
    whole boolean GENERATED ALWAYS AS (first = '-infinity') STORED,
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    devices text[] NOT NULL
);

-- What the deployment's ENERGY_READING was when the rollups were made.
CREATE TABLE rollup_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    energy_reading text NOT NULL
);

-- A session changes the hours it gains or loses. Meter and vehicle share them: its vehicle's hours
-- are made of both.
CREATE FUNCTION log_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.meter_id = OLD.meter_id AND NEW.vehicle_id = OLD.vehicle_id THEN
        INSERT INTO rollup_log (stream, devices, first, past)
        SELECT 'vehicle', ARRAY[NEW.vehicle_id], least(was, is_now), greatest(was, is_now)
        FROM (VALUES
            (OLD.started_at, NEW.started_at),
            (coalesce(OLD.ended_at, 'infinity'), coalesce(NEW.ended_at, 'infinity'))
        ) AS edge (was, is_now)
        WHERE was <> is_now;
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO rollup_log (stream, devices, first, past)
        VALUES ('vehicle', ARRAY[OLD.vehicle_id], OLD.started_at,
            coalesce(OLD.ended_at, 'infinity'));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO rollup_log (stream, devices, first, past)
        VALUES ('vehicle', ARRAY[NEW.vehicle_id], NEW.started_at,
            coalesce(NEW.ended_at, 'infinity'));
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER log_session AFTER INSERT OR UPDATE OR DELETE ON charging_sessions
    FOR EACH ROW EXECUTE FUNCTION log_session();

-- What a device's readings mean applies to its whole history.
CREATE FUNCTION log_energy_reading() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_log (stream, devices, first, past)
    VALUES (TG_ARGV[0], ARRAY[to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[1]], '-infinity', 'infinity');
    RETURN NULL;
END $$;

CREATE TRIGGER log_energy_reading AFTER UPDATE ON meters FOR EACH ROW
    WHEN (OLD.energy_reading IS DISTINCT FROM NEW.energy_reading)
    EXECUTE FUNCTION log_energy_reading('meter', 'meter_id');
CREATE TRIGGER log_energy_reading AFTER UPDATE ON vehicles FOR EACH ROW
    WHEN (OLD.energy_reading IS DISTINCT FROM NEW.energy_reading)
    EXECUTE FUNCTION log_energy_reading('vehicle', 'vehicle_id');
CREATE TRIGGER log_new_energy_reading AFTER INSERT ON vehicles FOR EACH ROW
    WHEN (NEW.energy_reading IS NOT NULL)
    EXECUTE FUNCTION log_energy_reading('vehicle', 'vehicle_id');

-- What is there already.
INSERT INTO rollup_log (stream, devices, first, past)
SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity'
FROM (SELECT vehicle_id FROM vehicle_live_state UNION SELECT vehicle_id FROM charging_sessions) AS v;
