-- What the figures need beside the readings: how a session ended, and rollups by the hour.

-- How a session ended: by a person's or a system's word, or because both its devices fell silent.
ALTER TABLE charging_sessions
    ADD timed_out boolean NOT NULL DEFAULT false,
    ADD end_reason text GENERATED ALWAYS AS (
        CASE WHEN ended_at IS NULL THEN NULL WHEN timed_out THEN 'timeout' ELSE 'ended' END) STORED;

CREATE INDEX charging_sessions_time
    ON charging_sessions USING gist (tstzrange(started_at, ended_at));

-- Sums of energy ----------------------------------------------------------------------------------
-- They are exact in decimal, so that hours add up to totals and a ratio sits on the right side of a
-- limit. Readings are added as whole numbers, several times as fast as numeric ones.

-- A reading in nanowatt hours, 1e-12 kWh; null where a double has decimals to lose, or too few.
CREATE FUNCTION nwh(kwh double precision) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN kwh < 1000 AND (kwh >= 1e-6 OR kwh = 0) THEN (kwh * 1e12)::bigint END;

-- Of these others, which no device is known to send: the kWh.
CREATE FUNCTION other_kwh(kwh double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN kwh >= 1000 OR (kwh < 1e-6 AND kwh <> 0) THEN kwh::numeric END;

-- The kWh of both sums.
CREATE FUNCTION total_kwh(nwh numeric, other numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(nwh, 0) * 0.000000000001 + coalesce(other, 0);

-- A temperature in 0.0001 degrees Celsius, all that `real` tells apart; and such a sum in degrees.
CREATE FUNCTION exact_temp(celsius real) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (celsius * 1e4)::integer;

CREATE FUNCTION total_celsius(exact numeric) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN exact * 0.0001;

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
