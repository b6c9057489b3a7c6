-- A vehicle's charging figures. Windows, hours and sessions are half-open, hours are UTC hours.

-- name: performance
-- One row for each UTC hour that has a reading, each with the same summary of the window; a single
-- row with a null hour when none has. Each side is credited and summed on its own before they
-- meet: no join multiplies readings. A register's first reading needs the one before it, its base,
-- found from `base_start` on, day by day from the newest; for other devices no day before the window
-- is looked into. The parameters stand right beside "timestamp", so that only the day partitions of
-- the window are touched. Sums are numeric: exact in decimal, so hours add up to totals and a ratio
-- sits on the right side of a limit.
WITH sessions AS MATERIALIZED (
    SELECT session_id, charging_sessions.meter_id,
        greatest(started_at, %(start)s) AS start, least(ended_at, %(end)s) AS past,
        coalesce(energy_reading, %(energy_reading)s) = 'register' AS register
    FROM charging_sessions
    JOIN meters ON meters.meter_id = charging_sessions.meter_id
    WHERE vehicle_id = %(vehicle_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
),
summary AS (
    SELECT count(*) AS sessions,
        coalesce(sum(extract(epoch FROM past - start)), 0) AS session_seconds,
        coalesce(range_agg(tstzrange(start, past)), '{}') AS in_session,
        coalesce((SELECT energy_reading FROM vehicles WHERE vehicle_id = %(vehicle_id)s),
            %(energy_reading)s) = 'register' AS register
    FROM sessions
),
ac_registers AS (
    SELECT session_id, start, reading."timestamp", reading.kwh_consumed_ac::numeric AS kwh
    FROM sessions
    JOIN meter_telemetry_history AS reading
        ON reading.meter_id = sessions.meter_id
        AND reading."timestamp" >= sessions.start AND reading."timestamp" < sessions.past
    WHERE register AND reading."timestamp" >= %(start)s AND reading."timestamp" < %(end)s
    UNION ALL
    SELECT session_id, start, base."timestamp", base.kwh_consumed_ac::numeric
    FROM sessions
    CROSS JOIN LATERAL (
        SELECT "timestamp", kwh_consumed_ac
        FROM meter_telemetry_history
        WHERE meter_id = sessions.meter_id AND "timestamp" < sessions.start
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
        ORDER BY "timestamp" DESC
        LIMIT 1) AS base
    WHERE register
),
ac AS (
    SELECT reading."timestamp", reading.kwh_consumed_ac::numeric AS energy, false AS reset
    FROM sessions
    JOIN meter_telemetry_history AS reading
        ON reading.meter_id = sessions.meter_id
        AND reading."timestamp" >= sessions.start AND reading."timestamp" < sessions.past
    WHERE NOT register AND reading."timestamp" >= %(start)s AND reading."timestamp" < %(end)s
    UNION ALL
    SELECT "timestamp", increase(kwh, "timestamp", previous_kwh, previous_at),
        is_reset(kwh, "timestamp", previous_kwh, previous_at)
    FROM (
        SELECT *, lag(kwh) OVER session AS previous_kwh, lag("timestamp") OVER session AS previous_at
        FROM ac_registers
        WINDOW session AS (PARTITION BY session_id ORDER BY "timestamp")) AS reading
    WHERE "timestamp" >= start
),
dc_register AS (
    SELECT "timestamp", kwh_delivered_dc::numeric AS kwh, battery_temp
    FROM vehicle_telemetry_history
    WHERE (SELECT register FROM summary) AND vehicle_id = %(vehicle_id)s
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    (SELECT "timestamp", kwh_delivered_dc::numeric, battery_temp
    FROM vehicle_telemetry_history
    WHERE (SELECT register FROM summary) AND vehicle_id = %(vehicle_id)s
        AND "timestamp" >= %(base_start)s AND "timestamp" < %(start)s
    ORDER BY "timestamp" DESC
    LIMIT 1)
),
dc AS (
    SELECT "timestamp", battery_temp, kwh_delivered_dc::numeric AS energy, false AS reset
    FROM vehicle_telemetry_history
    WHERE NOT (SELECT register FROM summary) AND vehicle_id = %(vehicle_id)s
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    SELECT "timestamp", battery_temp, increase(kwh, "timestamp", previous_kwh, previous_at),
        is_reset(kwh, "timestamp", previous_kwh, previous_at)
    FROM (
        SELECT *, lag(kwh) OVER vehicle AS previous_kwh, lag("timestamp") OVER vehicle AS previous_at
        FROM dc_register
        WINDOW vehicle AS (ORDER BY "timestamp")) AS reading
    WHERE "timestamp" >= %(start)s
),
ac_hours AS (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour, sum(energy) AS energy_ac,
        count(*) AS ac_readings, count(*) FILTER (WHERE reset) AS ac_resets
    FROM ac
    GROUP BY 1
),
dc_hours AS (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
        sum(energy) FILTER (WHERE "timestamp" <@ in_session) AS energy_dc,
        sum(energy) AS energy_all,
        count(*) FILTER (WHERE "timestamp" <@ in_session) AS dc_readings,
        count(*) FILTER (WHERE reset) AS dc_resets,
        count(*) AS readings,
        sum(battery_temp::numeric) AS temp_sum
    FROM dc, summary
    GROUP BY 1
)
SELECT hour,
    coalesce(energy_ac, 0) AS energy_ac,
    coalesce(energy_dc, 0) AS energy_dc,
    coalesce(energy_all, 0) - coalesce(energy_dc, 0) AS energy_outside,
    coalesce(ac_readings, 0) AS ac_readings,
    coalesce(dc_readings, 0) AS dc_readings,
    coalesce(readings, 0) AS readings,
    coalesce(ac_resets, 0) + coalesce(dc_resets, 0) AS counter_resets,
    coalesce(temp_sum, 0) AS temp_sum,
    summary.sessions,
    summary.session_seconds,
    EXISTS (SELECT FROM vehicles WHERE vehicle_id = %(vehicle_id)s)
        OR EXISTS (SELECT FROM vehicle_live_state WHERE vehicle_id = %(vehicle_id)s) AS known
FROM summary
LEFT JOIN (ac_hours FULL JOIN dc_hours USING (hour)) ON true
ORDER BY hour

-- name: soc
-- The vehicle's states of charge as first and last read in [start, end); nulls without a reading.
SELECT
    (SELECT soc FROM vehicle_telemetry_history
    WHERE vehicle_id = %(vehicle_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    ORDER BY "timestamp"
    LIMIT 1) AS soc_from,
    (SELECT soc FROM vehicle_telemetry_history
    WHERE vehicle_id = %(vehicle_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    ORDER BY "timestamp" DESC
    LIMIT 1) AS soc_to

-- name: realtime
-- One row; `known` is false for a vehicle neither registered nor ever heard of.
SELECT live.soc, live.battery_temp, live."timestamp",
    live.vehicle_id IS NOT NULL
        OR EXISTS (SELECT FROM vehicles WHERE vehicle_id = %(vehicle_id)s) AS known,
    EXISTS (
        SELECT FROM charging_sessions
        WHERE vehicle_id = %(vehicle_id)s AND ended_at IS NULL) AS is_charging
FROM (VALUES (1)) AS one
LEFT JOIN vehicle_live_state AS live ON live.vehicle_id = %(vehicle_id)s

-- name: meter
-- A meter's energy by UTC hour and session, whoever charged; a null session is none. A single row
-- with a null hour when the meter was not read in the window. `known` is the same in each.
WITH meter AS (
    SELECT coalesce((SELECT energy_reading FROM meters WHERE meter_id = %(meter_id)s),
        %(energy_reading)s) = 'register' AS register,
        EXISTS (SELECT FROM meters WHERE meter_id = %(meter_id)s)
            OR EXISTS (SELECT FROM meter_live_state WHERE meter_id = %(meter_id)s) AS known
),
readings AS (
    SELECT "timestamp", kwh_consumed_ac::numeric AS kwh
    FROM meter_telemetry_history
    WHERE meter_id = %(meter_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    (SELECT "timestamp", kwh_consumed_ac::numeric
    FROM meter_telemetry_history
    WHERE (SELECT register FROM meter) AND meter_id = %(meter_id)s
        AND "timestamp" >= %(base_start)s AND "timestamp" < %(start)s
    ORDER BY "timestamp" DESC
    LIMIT 1)
),
credited AS (
    SELECT "timestamp",
        CASE WHEN register THEN increase(kwh, "timestamp", previous_kwh, previous_at)
            ELSE kwh END AS energy,
        register AND is_reset(kwh, "timestamp", previous_kwh, previous_at) AS reset
    FROM (
        SELECT *, lag(kwh) OVER meter AS previous_kwh, lag("timestamp") OVER meter AS previous_at
        FROM readings
        WINDOW meter AS (ORDER BY "timestamp")) AS reading,
        meter
    WHERE "timestamp" >= %(start)s
),
sums AS (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour, session_id, sum(energy) AS energy_ac,
        count(*) AS readings, count(*) FILTER (WHERE reset) AS counter_resets
    FROM credited
    LEFT JOIN charging_sessions AS session
        ON meter_id = %(meter_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
        AND "timestamp" >= started_at AND "timestamp" < coalesce(ended_at, 'infinity')
    GROUP BY 1, 2
)
SELECT hour, session_id, energy_ac, readings, counter_resets, known
FROM meter
LEFT JOIN sums ON true
ORDER BY hour, session_id

-- name: meter_sessions
-- The sessions on a meter that overlap the window, oldest first.
SELECT session_id, meter_id, vehicle_id, started_at, ended_at, is_active, end_reason
FROM charging_sessions
WHERE meter_id = %(meter_id)s
    AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
ORDER BY started_at
