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
-- corrections make of it stands in the tables below, and is found by the functions. Intervals have
-- neither months nor days, whose length depends on the calendar.

CREATE TABLE corrections (
    correction_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- in the order in which they are applied
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    first timestamptz NOT NULL,
    past timestamptz NOT NULL,
    action text NOT NULL CHECK (action IN ('void', 'replace', 'shift', 'add')),
    shift_by interval CHECK ((shift_by IS NOT NULL) = (action = 'shift')
        AND extract(month FROM shift_by) = 0 AND extract(day FROM shift_by) = 0),
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
-- moved by so much, or out if that is null. Stretches of a device do not overlap. Where readings meet,
-- that with the greatest `rank` stays: a newer correction has to do with it.
CREATE TABLE corrected_stretches (
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    first timestamptz NOT NULL,
    past timestamptz NOT NULL,
    moved_by interval CHECK (extract(month FROM moved_by) = 0 AND extract(day FROM moved_by) = 0),
    rank bigint NOT NULL,
    PRIMARY KEY (device_id, stream, first),
    CHECK (first < past)
);

-- The readings that corrections in force brought in, where they are now.
CREATE TABLE meter_corrected_readings (
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    voltage real,
    rank bigint NOT NULL,
    meter_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (meter_id, "timestamp")
);
CREATE INDEX meter_corrected_readings_time ON meter_corrected_readings ("timestamp");
CREATE TABLE vehicle_corrected_readings (
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    soc real,
    battery_temp real,
    rank bigint NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (vehicle_id, "timestamp")
);
CREATE INDEX vehicle_corrected_readings_time ON vehicle_corrected_readings ("timestamp");

-- What was brought in goes with its day. `retired_at` is set when that is dropped.
CREATE FUNCTION forget_corrected_day() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DELETE FROM %I WHERE "timestamp" >= %L AND "timestamp" < %L',
        replace(NEW.history, '_telemetry_history', '_corrected_readings'),
        NEW.day::timestamp AT TIME ZONE 'UTC', (NEW.day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN NULL;
END $$;
CREATE TRIGGER forget_corrected_day AFTER UPDATE OF retired_at ON retired_days
    FOR EACH ROW EXECUTE FUNCTION forget_corrected_day();

-- The statement that finds a device's readings as corrected, in [since, until). It holds the bounds
-- themselves, so that it is planned for the day partitions in between alone. Of readings that meet at
-- one instant, that of the newest correction stays: one it brought in, or else the one sent first.
-- `columns`: of history, with the time as %s.
CREATE FUNCTION as_corrected(
    stream text, device text, since timestamptz, until timestamptz, columns text)
RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
    changed tstzmultirange;
    moved record;
    sources text;
BEGIN
    SELECT coalesce(range_agg(tstzrange(first, past)), '{}') INTO changed
    FROM corrected_stretches AS stretch
    WHERE stretch.stream = as_corrected.stream AND device_id = device
        AND first < until AND past > since;
    sources := format('SELECT %s, 0::bigint AS rank, interval ''0'' AS moved_by FROM %I WHERE %I = %L AND "timestamp" >= %L'
        ' AND "timestamp" < %L AND NOT "timestamp" <@ %L::tstzmultirange',
        format(columns, '"timestamp"'), stream || '_telemetry_history', stream || '_id', device,
        since, until, changed);
    FOR moved IN
        SELECT * FROM corrected_stretches AS stretch
        WHERE stretch.stream = as_corrected.stream AND device_id = device
            AND first + moved_by < until AND past + moved_by > since
    LOOP
        sources := sources || format(' UNION ALL SELECT %s, %s, %L FROM %I WHERE %I = %L'
            ' AND "timestamp" >= %L AND "timestamp" < %L',
            format(columns, format('"timestamp" + %L::interval AS "timestamp"', moved.moved_by)),
            moved.rank, moved.moved_by, stream || '_telemetry_history', stream || '_id', device,
            greatest(moved.first, since - moved.moved_by),
            least(moved.past, until - moved.moved_by));
    END LOOP;
    sources := sources || format(' UNION ALL SELECT %s, rank, NULL FROM %I WHERE %I = %L'
        ' AND "timestamp" >= %L AND "timestamp" < %L',
        format(columns, '"timestamp"'), stream || '_corrected_readings', stream || '_id', device,
        since, until);
    RETURN format('SELECT DISTINCT ON ("timestamp") %s FROM (%s) AS reading'
        ' ORDER BY "timestamp", rank DESC, moved_by DESC NULLS FIRST', format(columns, '"timestamp"'), sources);
END $$;

-- A device's readings as corrected, in [since, until), in order.
CREATE FUNCTION meter_as_corrected(device text, since timestamptz, until timestamptz)
RETURNS SETOF meter_telemetry_history LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE as_corrected(
        'meter', device, since, until, 'kwh_consumed_ac, %s, voltage, meter_id');
END $$;
CREATE FUNCTION vehicle_as_corrected(device text, since timestamptz, until timestamptz)
RETURNS SETOF vehicle_telemetry_history LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN QUERY EXECUTE as_corrected(
        'vehicle', device, since, until, 'kwh_delivered_dc, %s, soc, battery_temp, vehicle_id');
END $$;

-- Their energies alone.
CREATE FUNCTION energy_as_corrected(
    stream text, device text, since timestamptz, until timestamptz)
RETURNS TABLE (t timestamptz, kwh float8) LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF stream = 'meter' THEN
        RETURN QUERY SELECT "timestamp", kwh_consumed_ac
        FROM meter_as_corrected(device, since, until);
    ELSE
        RETURN QUERY SELECT "timestamp", kwh_delivered_dc
        FROM vehicle_as_corrected(device, since, until);
    END IF;
END $$;

-- At most so many of them before `at`, from `since` on, the newest first. They are looked for near by
-- first: there may be years of them.
CREATE FUNCTION energy_before(
    stream text, device text, at timestamptz, most integer, since timestamptz)
RETURNS TABLE (t timestamptz, kwh float8) LANGUAGE plpgsql STABLE AS $$
DECLARE
    times timestamptz[];
    counts float8[];
    near timestamptz;
BEGIN
    FOREACH near IN ARRAY ARRAY[at - interval '2 hours', at - interval '2 days', since] LOOP
        SELECT array_agg(energy.t), array_agg(energy.kwh) INTO times, counts
        FROM (
            SELECT * FROM energy_as_corrected(stream, device, greatest(near, since), at) AS energy
            ORDER BY energy.t DESC
            LIMIT most) AS energy;
        EXIT WHEN cardinality(times) >= most OR near <= since;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(times, counts);
END $$;

-- At most so many from `at` up to `until`, the oldest first.
CREATE FUNCTION energy_after(
    stream text, device text, at timestamptz, most integer, until timestamptz)
RETURNS TABLE (t timestamptz, kwh float8) LANGUAGE plpgsql STABLE AS $$
DECLARE
    times timestamptz[];
    counts float8[];
    near timestamptz;
BEGIN
    FOREACH near IN ARRAY ARRAY[at + interval '2 hours', at + interval '2 days', until] LOOP
        SELECT array_agg(energy.t), array_agg(energy.kwh) INTO times, counts
        FROM (
            SELECT * FROM energy_as_corrected(stream, device, at, least(near, until)) AS energy
            ORDER BY energy.t
            LIMIT most) AS energy;
        EXIT WHEN cardinality(times) >= most OR near >= until;
    END LOOP;
    RETURN QUERY SELECT * FROM unnest(times, counts);
END $$;

-- Those in [start, past), and so many before and after, which are at most `reach` and twice that away.
CREATE FUNCTION energy_around(
    stream text, device text, start timestamptz, past timestamptz, reach interval,
    before integer, after integer)
RETURNS TABLE (t timestamptz, kwh float8) LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT * FROM energy_before(stream, device, start, before, start - reach)
    UNION ALL
    SELECT * FROM energy_as_corrected(stream, device, start, past)
    UNION ALL
    SELECT * FROM energy_after(
        stream, device, past, after, past + 2 * reach + interval '1 microsecond');
END;

-- At how many instants of [since, until) a device's readings are others than it sent: brought in or
-- moved there, or taken out of there.
CREATE FUNCTION corrected_count(stream text, device text, since timestamptz, until timestamptz)
RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    history text := format('SELECT "timestamp" AS at FROM %I WHERE %I = %L',
        stream || '_telemetry_history', stream || '_id', device);
    one record;
    sources text;
    found bigint;
BEGIN
    sources := format('SELECT "timestamp" AS at FROM %I WHERE %I = %L',
        stream || '_corrected_readings', stream || '_id', device);
    FOR one IN
        SELECT first, past, coalesce(moved_by, '0') AS moved_by
        FROM corrected_stretches AS stretch
        WHERE stretch.stream = corrected_count.stream AND device_id = device
            AND first + coalesce(moved_by, '0') < until AND past + coalesce(moved_by, '0') > since
    LOOP
        sources := sources || format(' UNION SELECT at + %L::interval FROM (%s AND "timestamp" >= %L'
            ' AND "timestamp" < %L) AS reading', one.moved_by, history,
            greatest(one.first, since - one.moved_by),
            least(one.past, until - one.moved_by));
    END LOOP;
    EXECUTE format('SELECT count(*) FROM (%s) AS reading WHERE at >= %L AND at < %L',
        sources, since, until) INTO found;
    RETURN found;
END $$;

-- What the meter's own register showed when sessions started and ended ------------------------------

-- What sessions on a meter say of its register in [since, until]: where no reading lies, and it would
-- not fall from the reading before or to the one after, each at most `reach` away. `times` and `counts`
-- are the meter's readings from `since` to `until`, in order. Of two at one instant that may stay, the
-- end does.
CREATE FUNCTION session_edges(
    device text, since timestamptz, until timestamptz, times timestamptz[], counts float8[])
RETURNS TABLE (t timestamptz, kwh float8) LANGUAGE plpgsql STABLE ROWS 2 AS $$
DECLARE
    reach CONSTANT interval := '31 days';
    place integer;
    done timestamptz;
    least_kwh float8;
    most_kwh float8;
BEGIN
    FOR t, kwh IN
        SELECT edge.at, edge.value
        FROM charging_sessions AS session
        CROSS JOIN LATERAL (VALUES (started_at, meter_start, 1), (ended_at, meter_stop, 0))
            AS edge (at, value, rank)
        WHERE meter_id = device AND tstzrange(started_at, ended_at, '[]') && tstzrange(since, until, '[]')
            AND edge.at BETWEEN since AND until AND edge.value IS NOT NULL
        ORDER BY edge.at, edge.rank, started_at
    LOOP
        place := width_bucket(t, times);
        CONTINUE WHEN times[place] = t OR done = t;
        IF place > 0 THEN
            least_kwh := CASE WHEN t - times[place] <= reach THEN counts[place] END;
        ELSE
            SELECT energy.kwh INTO least_kwh
            FROM energy_before('meter', device, t, 1, t - reach) AS energy;
        END IF;
        IF place < cardinality(times) THEN
            most_kwh := CASE WHEN times[place + 1] - t <= reach THEN counts[place + 1] END;
        ELSE
            SELECT energy.kwh INTO most_kwh
            FROM energy_after('meter', device, t, 1, t + reach + interval '1 microsecond') AS energy;
        END IF;
        IF (kwh < least_kwh OR kwh > most_kwh) IS NOT TRUE THEN
            done := t;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;

-- A register's last values before a time, as corrected and with what sessions say, at least so many
-- where there are so many. It is asked for rarely.
CREATE OR REPLACE FUNCTION readings_before(
    history text, id text, energy text, device text, at timestamptz, most integer)
RETURNS TABLE (t timestamptz, kwh float8)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    times timestamptz[];
    counts float8[];
BEGIN
    SELECT coalesce(array_agg(earlier.t ORDER BY earlier.t), '{}'),
        array_agg(earlier.kwh ORDER BY earlier.t)
    INTO times, counts
    FROM energy_before(left(id, -3), device, at, most, '-infinity') AS earlier;
    RETURN QUERY SELECT * FROM unnest(times, counts);
    IF id = 'meter_id' THEN
        RETURN QUERY SELECT * FROM session_edges(device,
            CASE WHEN cardinality(times) < most THEN '-infinity' ELSE times[1] END,
            at - interval '1 microsecond', times, counts);
    END IF;
END $$;
