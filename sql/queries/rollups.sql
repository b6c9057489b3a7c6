-- Rollups by the hour, brought up to date from the log of what changed. Everything from `begin` on
-- is one transaction: its temporary tables go with it. The work is done by (vehicle, hour): all of a
-- vehicle's share of an hour, its sessions' meters included, is summed again from the readings.

-- name: touch
-- What a flush stored: these devices' readings, one device a line, in [first, past), which are
-- microseconds since 2000.
INSERT INTO rollup_log (stream, devices, first, past)
VALUES (%s, string_to_array(%s, E'\n'), from_micros(%s), from_micros(%s))

-- name: state
-- What ENERGY_READING was when the rollups were made; no row before the first round.
SELECT energy_reading FROM rollup_state

-- name: set_state
INSERT INTO rollup_state AS state (energy_reading) VALUES (%(energy_reading)s)
ON CONFLICT (only_row) DO UPDATE SET energy_reading = EXCLUDED.energy_reading

-- name: touch_all
-- The deployment's ENERGY_READING changed: it may concern the whole history of every vehicle.
INSERT INTO rollup_log (stream, devices, first, past)
SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity'
FROM (SELECT vehicle_id FROM vehicle_live_state UNION SELECT vehicle_id FROM charging_sessions) AS v

-- name: backlog
-- How many entries wait, and the age in seconds of the oldest.
SELECT count(*), coalesce(extract(epoch FROM now() - min(logged_at)), 0)::float8 FROM rollup_log

-- name: newest_entry
SELECT coalesce(max(id), 0) FROM rollup_log

-- name: oldest
-- The start of the oldest day there are readings of; `horizon` when there is none.
SELECT coalesce(
    min(to_date(right(day.relname, 10), 'YYYY_MM_DD'))::timestamp AT TIME ZONE 'UTC', %(horizon)s)
FROM pg_inherits AS link
JOIN pg_class AS day ON day.oid = link.inhrelid
WHERE link.inhparent
    IN ('meter_telemetry_history'::regclass, 'vehicle_telemetry_history'::regclass)

-- name: list
-- The next entries, with the hours and the number of devices each stands for; by hour, so that what
-- many flushes touched is summed once. They are cut to where readings can be: from `oldest` up to
-- `horizon`.
SELECT id, cardinality(devices), start,
    greatest(0, ceil(extract(epoch FROM least(past, %(horizon)s) - start) / 3600))::bigint
FROM (
    SELECT *, date_bin('1 hour', greatest(first, %(oldest)s), 'epoch') AS start
    FROM rollup_log
    WHERE id <= %(newest)s) AS entry
ORDER BY whole, first, id
LIMIT %(limit)s

-- name: begin
-- A step concerns few rows of large tables: they are to be reached through their keys. A base is
-- found by walking an index backwards, which the planner leaves for a sort when it expects little.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_mergejoin = off;
CREATE TEMP TABLE taken (first timestamptz, past timestamptz, stream text, devices text[])
    ON COMMIT DROP;
CREATE TEMP TABLE touched (hour timestamptz, stream text COLLATE "C", device text COLLATE "C")
    ON COMMIT DROP;
CREATE TEMP TABLE units (
    hour timestamptz, vehicle_id text COLLATE "C", PRIMARY KEY (hour, vehicle_id)) ON COMMIT DROP

-- name: take
-- Whole entries leave the log.
WITH gone AS (
    DELETE FROM rollup_log WHERE id = ANY (%(ids)s) RETURNING first, past, stream, devices
)
INSERT INTO taken SELECT greatest(first, %(oldest)s), least(past, %(horizon)s), stream, devices
FROM gone

-- name: take_part
-- The first hours of an entry too large for one round; the rest stays.
WITH part AS (
    UPDATE rollup_log SET first = %(until)s WHERE id = %(id)s RETURNING stream, devices
)
INSERT INTO taken SELECT %(first)s, %(until)s, stream, devices FROM part

-- name: spread
INSERT INTO touched
SELECT DISTINCT hour, stream, device
FROM taken
CROSS JOIN unnest(devices) AS device
CROSS JOIN generate_series(
    date_bin('1 hour', first, 'epoch'), past - interval '1 microsecond', '1 hour') AS hour

-- name: spread_to_next
-- A register's late reading changes what the next reading is credited with, in whatever hour that
-- is. Both streams the same way.
INSERT INTO touched
SELECT date_bin('1 hour', next."timestamp", 'epoch'), stream, device
FROM touched
JOIN meters ON meter_id = device
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM meter_telemetry_history
    WHERE meter_id = device AND "timestamp" >= hour + interval '1 hour'
        AND "timestamp" < hour + interval '31 days 1 hour' AND "timestamp" >= %(first)s
    ORDER BY "timestamp"
    LIMIT 1) AS next
WHERE stream = 'meter' AND coalesce(energy_reading, %(energy_reading)s) = 'register'
UNION ALL
SELECT date_bin('1 hour', next."timestamp", 'epoch'), stream, device
FROM touched
LEFT JOIN vehicles ON vehicle_id = device
CROSS JOIN LATERAL (
    SELECT "timestamp" FROM vehicle_telemetry_history
    WHERE vehicle_id = device AND "timestamp" >= hour + interval '1 hour'
        AND "timestamp" < hour + interval '31 days 1 hour' AND "timestamp" >= %(first)s
    ORDER BY "timestamp"
    LIMIT 1) AS next
WHERE stream = 'vehicle' AND coalesce(energy_reading, %(energy_reading)s) = 'register'

-- name: bounds
SELECT min(hour) AS first, max(hour) + interval '1 hour' AS past FROM touched

-- name: find_units
-- A meter's hour is its sessions' vehicles' hour. Hours of a retired day are final.
INSERT INTO units
SELECT DISTINCT hour, vehicle_id
FROM (
    SELECT hour, device AS vehicle_id FROM touched WHERE stream = 'vehicle'
    UNION ALL
    SELECT hour, session.vehicle_id
    FROM touched
    JOIN charging_sessions AS session
        ON session.meter_id = device
        AND tstzrange(started_at, ended_at) && tstzrange(hour, hour + interval '1 hour')
    WHERE stream = 'meter') AS found
WHERE NOT EXISTS (SELECT FROM retired_days WHERE day = (hour AT TIME ZONE 'UTC')::date)

-- name: analyze
ANALYZE units

-- name: compute
-- `first` and `past` enclose all units, `base_first` the bases of registers: they leave only those
-- day partitions to look into.
WITH clipped AS MATERIALIZED (
    SELECT hour, unit.vehicle_id, session_id, session.meter_id,
        greatest(started_at, hour) AS first,
        least(ended_at, hour + interval '1 hour') AS past,
        coalesce(energy_reading, %(energy_reading)s) = 'register' AS register
    FROM units AS unit
    JOIN charging_sessions AS session
        ON session.vehicle_id = unit.vehicle_id
        AND tstzrange(started_at, ended_at) && tstzrange(hour, hour + interval '1 hour')
    JOIN meters ON meters.meter_id = session.meter_id
),
ac AS (
    SELECT hour, vehicle_id, session_id, energy, readings, resets
    FROM clipped
    CROSS JOIN LATERAL (
        SELECT total_kwh(sum(nwh(kwh_consumed_ac)), sum(other_kwh(kwh_consumed_ac))) AS energy,
            count(*) AS readings, 0 AS resets
        FROM meter_telemetry_history
        WHERE meter_id = clipped.meter_id
            AND "timestamp" >= clipped.first AND "timestamp" < clipped.past
            AND "timestamp" >= %(first)s AND "timestamp" < %(past)s) AS sums
    WHERE NOT register
    UNION ALL
    SELECT hour, vehicle_id, session_id, energy, readings, resets
    FROM clipped
    CROSS JOIN LATERAL (
        SELECT sum(increase(kwh, "timestamp", previous_kwh, previous_at)) AS energy,
            count(*) AS readings,
            count(*) FILTER (
                WHERE is_reset(kwh, "timestamp", previous_kwh, previous_at)) AS resets
        FROM (
            SELECT *, lag(kwh) OVER meter AS previous_kwh, lag("timestamp") OVER meter AS previous_at
            FROM (
                SELECT "timestamp", kwh_consumed_ac::numeric AS kwh
                FROM meter_telemetry_history
                WHERE meter_id = clipped.meter_id
                    AND "timestamp" >= clipped.first AND "timestamp" < clipped.past
                    AND "timestamp" >= %(first)s AND "timestamp" < %(past)s
                UNION ALL
                (SELECT "timestamp", kwh_consumed_ac::numeric
                FROM meter_telemetry_history
                WHERE meter_id = clipped.meter_id AND "timestamp" < clipped.first
                    AND "timestamp" >= clipped.first - interval '31 days'
                    AND "timestamp" >= %(base_first)s AND "timestamp" < %(past)s
                ORDER BY "timestamp" DESC
                LIMIT 1)) AS reading
            WINDOW meter AS (ORDER BY "timestamp")) AS reading
        WHERE "timestamp" >= clipped.first) AS sums
    WHERE register
),
modes AS (
    SELECT hour, unit.vehicle_id,
        coalesce(energy_reading, %(energy_reading)s) = 'register' AS register
    FROM units AS unit
    LEFT JOIN vehicles ON vehicles.vehicle_id = unit.vehicle_id
),
dc_readings AS (
    SELECT hour, modes.vehicle_id, "timestamp", nwh(kwh_delivered_dc) AS nwh,
        other_kwh(kwh_delivered_dc) AS kwh, false AS reset, battery_temp
    FROM modes
    JOIN vehicle_telemetry_history AS reading
        ON reading.vehicle_id = modes.vehicle_id
        AND "timestamp" >= hour AND "timestamp" < hour + interval '1 hour'
        AND "timestamp" >= %(first)s AND "timestamp" < %(past)s
    WHERE NOT register
    UNION ALL
    SELECT hour, vehicle_id, "timestamp", NULL, energy, reset, battery_temp
    FROM modes
    CROSS JOIN LATERAL (
        SELECT "timestamp", battery_temp,
            increase(kwh, "timestamp", previous_kwh, previous_at) AS energy,
            is_reset(kwh, "timestamp", previous_kwh, previous_at) AS reset
        FROM (
            SELECT *, lag(kwh) OVER vehicle AS previous_kwh,
                lag("timestamp") OVER vehicle AS previous_at
            FROM (
                SELECT "timestamp", kwh_delivered_dc::numeric AS kwh, battery_temp
                FROM vehicle_telemetry_history
                WHERE vehicle_id = modes.vehicle_id
                    AND "timestamp" >= hour AND "timestamp" < hour + interval '1 hour'
                    AND "timestamp" >= %(first)s AND "timestamp" < %(past)s
                UNION ALL
                (SELECT "timestamp", kwh_delivered_dc::numeric, battery_temp
                FROM vehicle_telemetry_history
                WHERE vehicle_id = modes.vehicle_id AND "timestamp" < hour
                    AND "timestamp" >= hour - interval '31 days'
                    AND "timestamp" >= %(base_first)s AND "timestamp" < %(past)s
                ORDER BY "timestamp" DESC
                LIMIT 1)) AS reading
            WINDOW vehicle AS (ORDER BY "timestamp")) AS reading
        WHERE "timestamp" >= hour) AS reading
    WHERE register
),
dc AS MATERIALIZED (
    SELECT reading.hour, reading.vehicle_id, session_id,
        total_kwh(sum(nwh), sum(kwh)) AS energy,
        count(*) AS readings, count(*) FILTER (WHERE reset) AS resets,
        total_celsius(sum(exact_temp(battery_temp))) AS temp_sum
    FROM dc_readings AS reading
    LEFT JOIN clipped
        ON clipped.hour = reading.hour AND clipped.vehicle_id = reading.vehicle_id
        AND "timestamp" >= clipped.first AND "timestamp" < clipped.past
    GROUP BY reading.hour, reading.vehicle_id, session_id
),
new_sessions AS MATERIALIZED (
    SELECT hour, vehicle_id, session_id,
        coalesce(ac.readings, 0) AS ac_readings, coalesce(dc.readings, 0) AS dc_readings,
        coalesce(ac.resets, 0) + coalesce(dc.resets, 0) AS counter_resets,
        coalesce(ac.energy, 0) AS energy_ac, coalesce(dc.energy, 0) AS energy_dc
    FROM (SELECT * FROM ac WHERE readings > 0) AS ac
    FULL JOIN (SELECT * FROM dc WHERE session_id IS NOT NULL) AS dc
        USING (hour, vehicle_id, session_id)
),
ac_of_vehicles AS (
    SELECT hour, vehicle_id, sum(readings) AS readings, sum(resets) AS resets, sum(energy) AS energy
    FROM ac
    WHERE readings > 0
    GROUP BY hour, vehicle_id
),
dc_of_vehicles AS (
    SELECT hour, vehicle_id, sum(readings) AS readings, sum(resets) AS resets,
        sum(temp_sum) AS temp_sum,
        sum(readings) FILTER (WHERE session_id IS NOT NULL) AS in_sessions,
        sum(energy) FILTER (WHERE session_id IS NOT NULL) AS energy,
        sum(energy) FILTER (WHERE session_id IS NULL) AS energy_outside
    FROM dc
    GROUP BY hour, vehicle_id
),
new_vehicles AS MATERIALIZED (
    SELECT hour, vehicle_id, coalesce(dc.readings, 0) AS readings,
        coalesce(ac.readings, 0) AS ac_readings, coalesce(dc.in_sessions, 0) AS dc_readings,
        coalesce(ac.resets, 0) + coalesce(dc.resets, 0) AS counter_resets,
        coalesce(dc.temp_sum, 0) AS temp_sum, coalesce(ac.energy, 0) AS energy_ac,
        coalesce(dc.energy, 0) AS energy_dc, coalesce(dc.energy_outside, 0) AS energy_outside
    FROM ac_of_vehicles AS ac
    FULL JOIN dc_of_vehicles AS dc USING (hour, vehicle_id)
),
gone_sessions AS (
    DELETE FROM session_hours AS old
    USING units
    WHERE old.hour = units.hour AND old.vehicle_id = units.vehicle_id
        AND NOT EXISTS (
            SELECT FROM new_sessions AS new
            WHERE new.hour = old.hour AND new.session_id = old.session_id)
),
gone_vehicles AS (
    DELETE FROM vehicle_hours AS old
    USING units
    WHERE old.hour = units.hour AND old.vehicle_id = units.vehicle_id
        AND NOT EXISTS (
            SELECT FROM new_vehicles AS new
            WHERE new.hour = old.hour AND new.vehicle_id = old.vehicle_id)
),
written_sessions AS (
    INSERT INTO session_hours AS old (hour, vehicle_id, session_id, ac_readings, dc_readings,
        counter_resets, energy_ac, energy_dc)
    SELECT * FROM new_sessions
    ON CONFLICT (hour, vehicle_id, session_id) DO UPDATE
    SET ac_readings = EXCLUDED.ac_readings, dc_readings = EXCLUDED.dc_readings,
        counter_resets = EXCLUDED.counter_resets,
        energy_ac = EXCLUDED.energy_ac, energy_dc = EXCLUDED.energy_dc
    WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)
)
INSERT INTO vehicle_hours AS old (hour, vehicle_id, readings, ac_readings, dc_readings,
    counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)
SELECT * FROM new_vehicles
ON CONFLICT (hour, vehicle_id) DO UPDATE
SET readings = EXCLUDED.readings, ac_readings = EXCLUDED.ac_readings,
    dc_readings = EXCLUDED.dc_readings, counter_resets = EXCLUDED.counter_resets,
    temp_sum = EXCLUDED.temp_sum, energy_ac = EXCLUDED.energy_ac,
    energy_dc = EXCLUDED.energy_dc, energy_outside = EXCLUDED.energy_outside
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)

-- name: compute_days
-- The days of the units, summed from their hours.
WITH days AS MATERIALIZED (
    SELECT DISTINCT date_bin('1 day', hour, 'epoch') AS day, vehicle_id FROM units
),
new_days AS MATERIALIZED (
    SELECT day, days.vehicle_id, sum(readings) AS readings, sum(ac_readings) AS ac_readings,
        sum(dc_readings) AS dc_readings, sum(counter_resets) AS counter_resets,
        sum(temp_sum) AS temp_sum, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
        sum(energy_outside) AS energy_outside
    FROM days
    CROSS JOIN generate_series(0, 23) AS number
    JOIN vehicle_hours AS hours
        ON hours.hour = day + number * interval '1 hour' AND hours.vehicle_id = days.vehicle_id
    GROUP BY day, days.vehicle_id
),
gone AS (
    DELETE FROM vehicle_days AS old
    USING days
    WHERE old.hour = day AND old.vehicle_id = days.vehicle_id
        AND NOT EXISTS (
            SELECT FROM new_days AS new
            WHERE new.day = old.hour AND new.vehicle_id = old.vehicle_id)
)
INSERT INTO vehicle_days AS old (hour, vehicle_id, readings, ac_readings, dc_readings,
    counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)
SELECT * FROM new_days
ON CONFLICT (hour, vehicle_id) DO UPDATE
SET readings = EXCLUDED.readings, ac_readings = EXCLUDED.ac_readings,
    dc_readings = EXCLUDED.dc_readings, counter_resets = EXCLUDED.counter_resets,
    temp_sum = EXCLUDED.temp_sum, energy_ac = EXCLUDED.energy_ac,
    energy_dc = EXCLUDED.energy_dc, energy_outside = EXCLUDED.energy_outside
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)

-- name: fleet
-- The whole fleet's sums of [start, end), both whole hours, with the whole days in between from
-- `first_day` up to `past_day`, in one row with a null vehicle_id; and
-- its vehicles, from the worst efficiency on: first those whose figures rest on something. The worst
-- of the impossible ones are the highest. An active session counts up to `now`, so that no reading
-- is expected that cannot be there yet.
WITH rollups AS (
    SELECT * FROM vehicle_days WHERE hour >= %(first_day)s AND hour < %(past_day)s
    UNION ALL
    SELECT * FROM vehicle_hours WHERE hour >= %(start)s AND hour < %(first_day)s
    UNION ALL
    SELECT * FROM vehicle_hours WHERE hour >= %(past_day)s AND hour < %(end)s
),
of_vehicles AS (
    SELECT vehicle_id, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
        sum(energy_outside) AS energy_outside, sum(temp_sum) AS temp_sum,
        sum(ac_readings) AS ac_readings, sum(dc_readings) AS dc_readings,
        sum(readings) AS readings, sum(counter_resets) AS counter_resets
    FROM rollups
    GROUP BY vehicle_id
),
overlap AS (
    SELECT vehicle_id, count(*) AS sessions,
        extract(epoch FROM sum(greatest(interval '0',
            least(coalesce(ended_at, %(now)s), %(end)s) - greatest(started_at, %(start)s))))
            AS session_seconds
    FROM charging_sessions
    WHERE tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
    GROUP BY vehicle_id
),
fleet AS MATERIALIZED (
    SELECT vehicle_id,
        coalesce(energy_ac, 0) AS energy_ac, coalesce(energy_dc, 0) AS energy_dc,
        coalesce(energy_outside, 0) AS energy_outside, coalesce(temp_sum, 0) AS temp_sum,
        coalesce(ac_readings, 0) AS ac_readings, coalesce(dc_readings, 0) AS dc_readings,
        coalesce(readings, 0) AS readings, coalesce(counter_resets, 0) AS counter_resets,
        coalesce(sessions, 0) AS sessions, coalesce(session_seconds, 0) AS session_seconds,
        CASE WHEN ac_readings > 0 AND dc_readings > 0 AND sessions > 0
            THEN energy_dc / nullif(energy_ac, 0) END AS ratio
    FROM of_vehicles
    FULL JOIN overlap USING (vehicle_id)
)
SELECT NULL AS vehicle_id, coalesce(sum(energy_ac), 0) AS energy_ac,
    coalesce(sum(energy_dc), 0) AS energy_dc, coalesce(sum(energy_outside), 0) AS energy_outside,
    coalesce(sum(temp_sum), 0) AS temp_sum, coalesce(sum(ac_readings), 0) AS ac_readings,
    coalesce(sum(dc_readings), 0) AS dc_readings, coalesce(sum(readings), 0) AS readings,
    coalesce(sum(counter_resets), 0) AS counter_resets, coalesce(sum(sessions), 0) AS sessions,
    coalesce(sum(session_seconds), 0) AS session_seconds,
    count(*) AS vehicles,
    count(*) FILTER (WHERE ratio < %(low)s) AS low_efficiency,
    count(*) FILTER (WHERE ratio > %(impossible)s) AS impossible_efficiency,
    (SELECT coalesce(min(logged_at), now()) FROM rollup_log) AS as_of
FROM fleet
UNION ALL
(SELECT vehicle_id, energy_ac, energy_dc, energy_outside, temp_sum, ac_readings, dc_readings,
    readings, counter_resets, sessions, session_seconds, NULL, NULL, NULL, NULL
FROM fleet
WHERE %(alert)s::text IS NULL
    OR (%(alert)s = 'low_efficiency' AND ratio < %(low)s)
    OR (%(alert)s = 'impossible_efficiency' AND ratio > %(impossible)s)
ORDER BY CASE WHEN %(alert)s = 'impossible_efficiency' THEN -ratio ELSE ratio END, vehicle_id
LIMIT %(limit)s)
