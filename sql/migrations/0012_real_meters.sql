-- oldest code: 0004

-- What a device is like: how often it reports, by how much its register may dip, where that rolls
-- over, and what it can carry.
ALTER TABLE meters
    ADD report_seconds integer CHECK (report_seconds BETWEEN 1 AND 86400),
    ADD register_tolerance double precision CHECK (register_tolerance >= 0),
    ADD register_modulus double precision CHECK (register_modulus > 0);
ALTER TABLE vehicles
    ADD report_seconds integer CHECK (report_seconds BETWEEN 1 AND 86400),
    ADD register_tolerance double precision CHECK (register_tolerance >= 0),
    ADD register_modulus double precision CHECK (register_modulus > 0),
    ADD max_charge_kw double precision CHECK (max_charge_kw > 0);

-- When a device was exchanged for another one under the same id: what the old one's register showed
-- last, and what the new one's showed first, as far as that is known.
CREATE TABLE register_exchanges (
    exchange_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    exchanged_at timestamptz NOT NULL,
    last_of_old double precision CHECK (last_of_old >= 0),
    first_of_new double precision CHECK (first_of_new >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (stream, device_id, exchanged_at)
);

-- Sessions with both their ends, so that those without length are found too.
CREATE INDEX charging_sessions_meter ON charging_sessions
    USING gist (meter_id, tstzrange(started_at, ended_at, '[]'));
CREATE INDEX charging_sessions_vehicle ON charging_sessions
    USING gist (vehicle_id, tstzrange(started_at, ended_at, '[]'));

-- What a register's readings add up to -------------------------------------------------------------
-- docs/analytics.md says what each kind means.

-- The most energy that fits into a time, in kWh, for a power in kW: a fifth more, since clocks differ.
CREATE FUNCTION most_kwh(kw numeric, during interval) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN kw * extract(epoch FROM during) / 3000;

-- How much of [first, past) lies between two times.
CREATE FUNCTION shared(since timestamptz, until timestamptz, first timestamptz, past timestamptz)
RETURNS interval LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN greatest(interval '0', least(until, past) - greatest(since, first));

-- A device's last readings before a time, at most so many. It is asked for rarely, and planned only then.
CREATE FUNCTION readings_before(
    history text, id text, energy text, device text, at timestamptz, most integer)
RETURNS TABLE (t timestamptz, kwh float8)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE format(
        'SELECT "timestamp", %3$s FROM %1$s WHERE %2$s = $1 AND "timestamp" < $2'
        ' ORDER BY "timestamp" DESC LIMIT $3', history, id, energy)
    USING device, at, most;
END $$;

-- A device's sessions that meet a stretch of time, its ends included, in order.
CREATE FUNCTION sessions_of(stream text, device text, first timestamptz, past timestamptz)
RETURNS SETOF charging_sessions LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF stream = 'meter' THEN
        RETURN QUERY SELECT * FROM charging_sessions
        WHERE meter_id = device AND tstzrange(started_at, ended_at, '[]') && tstzrange(first, past, '[]')
        ORDER BY started_at, ended_at;
    ELSE
        RETURN QUERY SELECT * FROM charging_sessions
        WHERE vehicle_id = device AND tstzrange(started_at, ended_at, '[]') && tstzrange(first, past, '[]')
        ORDER BY started_at, ended_at;
    END IF;
END $$;

-- The increases of a register that does not simply rise, from `since` on. `times` and `counts` are its
-- readings in order: 14 before `since` settle where the chain stands, unless one of them fell by more
-- than the tolerance or was exchanged; then, or where there are fewer, it is followed from further back
-- in the history. `sane_kw` is what no device can carry, `own_kw` what this one can, if known, reporting
-- every `pace`.
CREATE FUNCTION register_chain(
    stream text, device text, history text, id text, energy_column text, since timestamptz,
    times timestamptz[], counts float8[],
    tolerance numeric, modulus numeric, sane_kw numeric, own_kw numeric, pace interval)
RETURNS TABLE (t timestamptz, p timestamptz, energy numeric, kind text)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    reach CONSTANT interval := '31 days';
    most_before CONSTANT integer := 1000;
    total integer;
    starts timestamptz[];
    exchanges timestamptz[];
    lasts_of_old float8[];
    firsts_of_new float8[];
    breaks timestamptz[];
    previous numeric;   -- the last value of the chain
    highest numeric;    -- of its last ten values
    recent numeric[];   -- these, once there was a dip among them
    dips_left integer := 0;
    exchange integer := 1;
    last_exchange integer;
    count numeric;
    rolled numeric;
    next integer;
    settles boolean;
BEGIN
    IF (SELECT count(*) FROM unnest(times) AS at WHERE at < since) < 14
        OR EXISTS (
            SELECT FROM unnest(times, counts) AS near (at, value)
            JOIN unnest(times[2:], counts[2:]) WITH ORDINALITY AS following (at, value, place)
                ON near.at = times[place]
            WHERE following.at < since AND following.value < near.value - tolerance::float8)
        OR EXISTS (
            SELECT FROM register_exchanges AS exchange
            WHERE exchange.stream = register_chain.stream AND exchange.device_id = device
                AND exchanged_at > times[1] AND exchanged_at < since)
    THEN
        SELECT array_agg(earlier.t ORDER BY earlier.t) || times,
            array_agg(earlier.kwh ORDER BY earlier.t) || counts
        INTO times, counts
        FROM readings_before(
            history, id, energy_column, device, times[1], most_before) AS earlier;
    END IF;
    total := cardinality(times);
    SELECT array_agg(started_at ORDER BY started_at) INTO starts
    FROM sessions_of(stream, device, times[1], times[total] + reach)
    WHERE started_at > times[1];
    SELECT array_agg(exchanged_at ORDER BY exchanged_at), array_agg(last_of_old ORDER BY exchanged_at),
        array_agg(first_of_new ORDER BY exchanged_at)
    INTO exchanges, lasts_of_old, firsts_of_new
    FROM register_exchanges AS exchange
    WHERE exchange.stream = register_chain.stream AND exchange.device_id = device
        AND exchanged_at > times[1];
    breaks := coalesce(starts, '{}') || coalesce(exchanges, '{}');
    FOR place IN 1..total LOOP
        t := times[place];
        p := CASE WHEN place > 1 AND t - times[place - 1] <= reach THEN times[place - 1] END;
        count := counts[place];
        kind := 'rise';
        energy := 0;
        WHILE exchanges[exchange] <= p LOOP
            exchange := exchange + 1;
        END LOOP;
        IF p IS NULL THEN
            kind := 'first';
        ELSIF exchanges[exchange] <= t THEN
            kind := 'exchange';
            last_exchange := exchange;
            WHILE exchanges[last_exchange + 1] <= t LOOP
                last_exchange := last_exchange + 1;
            END LOOP;
            energy := greatest(0, coalesce(lasts_of_old[exchange]::numeric - previous, 0))
                + greatest(0, coalesce(count - firsts_of_new[last_exchange]::numeric, 0));
        ELSIF count < previous THEN
            rolled := count + modulus - previous;
            IF rolled >= 0 AND rolled <= most_kwh(sane_kw, greatest(t - p, '1 minute'))
                AND rolled <= coalesce(most_kwh(own_kw, greatest(t - p, pace)), rolled)
            THEN
                kind := 'rollover';
                energy := rolled;
            ELSIF EXISTS (SELECT FROM unnest(starts) AS start WHERE start > p AND start <= t) THEN
                kind := 'reset';
                energy := count;
            ELSIF count >= previous - tolerance THEN
                kind := 'dip';
            ELSE
                -- Which of the next two readings takes it back, with no break before? What comes
                -- later than `reach` does not settle it.
                kind := 'pending';
                FOR ahead IN place + 1..place + 2 LOOP
                    settles := times[ahead] <= t + reach;
                    IF EXISTS (
                        SELECT FROM unnest(breaks) AS at
                        WHERE at > times[ahead - 1]
                            AND at <= CASE WHEN settles THEN times[ahead] ELSE t + reach END)
                    THEN
                        kind := 'reset';
                    ELSIF settles AND counts[ahead]::numeric >= previous - tolerance THEN
                        kind := 'spike';
                    END IF;
                    EXIT WHEN kind <> 'pending' OR settles IS NOT TRUE;
                    IF ahead = place + 2 THEN
                        kind := 'reset';
                    END IF;
                END LOOP;
                energy := CASE kind WHEN 'reset' THEN count ELSE 0 END;
            END IF;
        ELSE
            next := place + 1;
            IF count > previous + tolerance AND counts[next]::numeric < count - tolerance
                AND counts[next]::numeric >= previous - tolerance AND times[next] - t <= reach
                AND NOT EXISTS (
                    SELECT FROM unnest(starts) AS start WHERE start > p AND start <= times[next])
                AND NOT EXISTS (
                    SELECT FROM unnest(exchanges) AS at WHERE at > t AND at <= times[next])
            THEN
                kind := 'spike';
            ELSE
                energy := greatest(0, count - highest);
            END IF;
        END IF;

        -- A value that is no spike joins the chain.
        IF kind IN ('first', 'exchange', 'rollover', 'reset') THEN
            previous := count;
            highest := count;
            recent := ARRAY[count];
            dips_left := 0;
        ELSIF kind IN ('rise', 'dip') THEN
            previous := count;
            recent := (recent || count)[greatest(1, cardinality(recent) - 8):];
            dips_left := CASE kind WHEN 'dip' THEN 10 ELSE dips_left - 1 END;
            IF dips_left > 0 THEN
                SELECT max(value) INTO highest FROM unnest(recent) AS value;
            ELSE
                highest := count;
            END IF;
        END IF;
        IF t >= since THEN
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- The shares of a long gap's energy among the sessions that overlap it, by time, each at most what
-- the device can carry in the time in common. The last one takes what rounding leaves; what exceeds
-- belongs to none. `earlier` is the instant of the share before it that the same vehicle has; the last
-- share of each vehicle `counts`.
CREATE FUNCTION long_shares(
    stream text, device text, gap_start timestamptz, t timestamptz, energy numeric, kw numeric)
RETURNS TABLE (
    session_id uuid, instant timestamptz, share numeric, earlier timestamptz, counts boolean,
    is_last boolean)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    session record;
    seconds numeric;
    shared numeric := 0;
    kept numeric := 0;
BEGIN
    FOR session IN
        SELECT found.*, extract(epoch FROM overlap) AS overlap_s,
            sum(extract(epoch FROM overlap)) OVER () AS all_s,
            lag(found.instant) OVER (PARTITION BY vehicle_id ORDER BY started_at) AS before,
            lead(started_at) OVER (PARTITION BY vehicle_id ORDER BY started_at) IS NULL AS counts,
            lead(started_at) OVER (ORDER BY started_at) IS NULL AS is_last
        FROM (
            SELECT sessions.session_id, vehicle_id, started_at,
                least(t, ended_at) - greatest(gap_start, started_at) AS overlap,
                CASE WHEN ended_at <= t THEN ended_at - interval '1 microsecond' ELSE t END AS instant
            FROM sessions_of(stream, device, gap_start, t) AS sessions) AS found
        WHERE overlap > '0'
        ORDER BY started_at
    LOOP
        session_id := session.session_id;
        instant := session.instant;
        earlier := session.before;
        counts := session.counts;
        is_last := session.is_last;
        share := CASE WHEN session.is_last THEN energy - shared
            ELSE round(energy * session.overlap_s / session.all_s, 15) END;
        shared := shared + share;
        share := least(share, kw * session.overlap_s / 3000);
        kept := kept + share;
        RETURN NEXT;
    END LOOP;
    IF kept < energy OR session_id IS NULL THEN
        counts := session_id IS NULL;
        is_last := counts;
        session_id := NULL;
        instant := t;
        earlier := NULL;
        share := energy - kept;
        RETURN NEXT;
    END IF;
END $$;

-- Rollups ------------------------------------------------------------------------------------------

-- What hours add up to. `untempered`: readings without a temperature; `*_seconds`: how much of the
-- sessions the readings speak for, null in hours added up before; `*_again`: of readings whose energy
-- other hours share, the hours before this one that have them, too.
ALTER TABLE vehicle_hours
    ADD untempered integer NOT NULL DEFAULT 0,
    ADD dips integer NOT NULL DEFAULT 0,
    ADD spikes integer NOT NULL DEFAULT 0,
    ADD implausible integer NOT NULL DEFAULT 0,
    ADD ac_seconds numeric,
    ADD dc_seconds numeric,
    ADD estimated_ac numeric NOT NULL DEFAULT 0,
    ADD estimated_dc numeric NOT NULL DEFAULT 0,
    ADD ac_again timestamptz[],
    ADD dc_again timestamptz[];
ALTER TABLE vehicle_days
    ADD untempered integer NOT NULL DEFAULT 0,
    ADD dips integer NOT NULL DEFAULT 0,
    ADD spikes integer NOT NULL DEFAULT 0,
    ADD implausible integer NOT NULL DEFAULT 0,
    ADD ac_seconds numeric,
    ADD dc_seconds numeric,
    ADD estimated_ac numeric NOT NULL DEFAULT 0,
    ADD estimated_dc numeric NOT NULL DEFAULT 0,
    ADD ac_again timestamptz[],
    ADD dc_again timestamptz[];

-- What the deployment says of devices that do not say it themselves, and the edition of the rules by
-- which the rollups were made: where the code has others, all is added up anew.
ALTER TABLE rollup_state
    ADD report_seconds integer,
    ADD max_plausible_kw double precision,
    ADD edition integer NOT NULL DEFAULT 1;

-- Older code, which says no edition, may go on for a while: what it writes is made anew, too.
CREATE FUNCTION note_edition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said integer := coalesce(nullif(current_setting('energy_ingest.edition', true), '')::integer, 1);
BEGIN
    UPDATE rollup_state SET edition = said WHERE edition > said;
    RETURN NULL;
END $$;

CREATE TRIGGER note_edition AFTER INSERT OR UPDATE ON vehicle_hours
    FOR EACH STATEMENT EXECUTE FUNCTION note_edition();

-- Late readings change what was made of those after them; others have none after them.
ALTER TABLE rollup_log ADD late boolean NOT NULL DEFAULT true;

-- Whatever a device is like applies to its whole history.
DROP TRIGGER log_energy_reading ON meters;
DROP TRIGGER log_energy_reading ON vehicles;
DROP TRIGGER log_new_energy_reading ON vehicles;
CREATE TRIGGER log_change AFTER UPDATE ON meters FOR EACH ROW
    WHEN ((OLD.energy_reading, OLD.report_seconds, OLD.register_tolerance, OLD.register_modulus,
            OLD.capacity_kw) IS DISTINCT FROM
        (NEW.energy_reading, NEW.report_seconds, NEW.register_tolerance, NEW.register_modulus,
            NEW.capacity_kw))
    EXECUTE FUNCTION log_energy_reading('meter', 'meter_id');
CREATE TRIGGER log_change AFTER UPDATE ON vehicles FOR EACH ROW
    WHEN ((OLD.energy_reading, OLD.report_seconds, OLD.register_tolerance, OLD.register_modulus,
            OLD.max_charge_kw) IS DISTINCT FROM
        (NEW.energy_reading, NEW.report_seconds, NEW.register_tolerance, NEW.register_modulus,
            NEW.max_charge_kw))
    EXECUTE FUNCTION log_energy_reading('vehicle', 'vehicle_id');
CREATE TRIGGER log_new AFTER INSERT ON vehicles FOR EACH ROW
    WHEN (num_nonnulls(NEW.energy_reading, NEW.report_seconds, NEW.register_tolerance,
        NEW.register_modulus, NEW.max_charge_kw) > 0)
    EXECUTE FUNCTION log_energy_reading('vehicle', 'vehicle_id');

CREATE FUNCTION log_exchange() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    exchange register_exchanges := coalesce(NEW, OLD);
BEGIN
    INSERT INTO rollup_log (stream, devices, first, past)
    VALUES (exchange.stream, ARRAY[exchange.device_id], exchange.exchanged_at,
        exchange.exchanged_at + interval '1 microsecond');
    RETURN NULL;
END $$;

CREATE TRIGGER log_exchange AFTER INSERT OR UPDATE OR DELETE ON register_exchanges
    FOR EACH ROW EXECUTE FUNCTION log_exchange();

-- A session changes the hours it gains or loses, and what readings around its ends are credited with:
-- those of its meter, which may have sessions of other vehicles, and those of its vehicle.
CREATE OR REPLACE FUNCTION log_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.meter_id = OLD.meter_id AND NEW.vehicle_id = OLD.vehicle_id THEN
        INSERT INTO rollup_log (stream, devices, first, past)
        SELECT stream, ARRAY[device], least(was, is_now) - interval '1 microsecond',
            greatest(was, is_now) + interval '1 microsecond'
        FROM (VALUES
            (OLD.started_at, NEW.started_at),
            (coalesce(OLD.ended_at, 'infinity'), coalesce(NEW.ended_at, 'infinity'))
        ) AS edge (was, is_now)
        CROSS JOIN (VALUES ('vehicle', NEW.vehicle_id), ('meter', NEW.meter_id))
            AS of (stream, device)
        WHERE was <> is_now;
        RETURN NULL;
    END IF;
    INSERT INTO rollup_log (stream, devices, first, past)
    SELECT stream, ARRAY[device], started_at - interval '1 microsecond',
        coalesce(ended_at, 'infinity') + interval '1 microsecond'
    FROM (
        SELECT OLD.* WHERE TG_OP <> 'INSERT' UNION ALL SELECT NEW.* WHERE TG_OP <> 'DELETE'
    ) AS session
    CROSS JOIN LATERAL (VALUES ('vehicle', vehicle_id), ('meter', meter_id)) AS of (stream, device);
    RETURN NULL;
END $$;
