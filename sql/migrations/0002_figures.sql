-- What the figures need beside the readings: how a session ended, and rollups by the hour.

-- How a session ended: by a person's or a system's word, or because both its devices fell silent.
ALTER TABLE charging_sessions
    ADD timed_out boolean NOT NULL DEFAULT false,
    ADD end_reason text GENERATED ALWAYS AS (
        CASE WHEN ended_at IS NULL THEN NULL WHEN timed_out THEN 'timeout' ELSE 'ended' END) STORED;

CREATE INDEX charging_sessions_time
    ON charging_sessions USING gist (tstzrange(started_at, ended_at));

-- What a register's reading means -----------------------------------------------------------------
-- `previous` is the same device's reading before it; one that is more than 31 days older is none.

-- The energy a register's reading is credited with. One that went down was reset: it counts from
-- zero; without a previous one nothing is known yet.
CREATE FUNCTION increase(
    kwh numeric, at timestamptz,
    previous_kwh numeric, previous_at timestamptz) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN previous_at IS NULL OR at - previous_at > interval '31 days' THEN 0
    WHEN kwh < previous_kwh THEN kwh
    ELSE kwh - previous_kwh
END;

-- Whether a register's reading is the first after its counter was reset.
CREATE FUNCTION is_reset(
    kwh numeric, at timestamptz,
    previous_kwh numeric, previous_at timestamptz) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(kwh < previous_kwh AND at - previous_at <= interval '31 days', false);
