-- A vehicle's charging figures. Windows, hours and sessions are half-open, hours are UTC hours.

-- A vehicle's figures are summed in two steps: its sessions in the window; and the UNION ALL of what
-- its devices' modes ask for of the four selects `ac_*` and `dc_*`, which have the same columns. Each
-- side is summed on its own, so that no join multiplies readings. The parameters stand right beside
-- "timestamp", so that only the day partitions of the window are touched.

-- name: vehicle
-- The vehicle's sessions that overlap the window, cut to it; one row without a session when none
-- does. `vehicle_mode` and `known` are the same in each.
SELECT meter_id, start, past, meter_mode, vehicle_mode, known
FROM (
    SELECT coalesce((SELECT energy_reading FROM vehicles WHERE vehicle_id = %(vehicle_id)s),
            %(energy_reading)s) AS vehicle_mode,
        EXISTS (SELECT FROM vehicles WHERE vehicle_id = %(vehicle_id)s)
            OR EXISTS (SELECT FROM vehicle_live_state WHERE vehicle_id = %(vehicle_id)s) AS known
) AS vehicle
LEFT JOIN (
    SELECT meter_id, greatest(started_at, %(start)s) AS start, least(ended_at, %(end)s) AS past,
        coalesce(energy_reading, %(energy_reading)s) AS meter_mode
    FROM charging_sessions
    JOIN meters USING (meter_id)
    WHERE vehicle_id = %(vehicle_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
) AS session ON true

-- name: ac_interval
-- By UTC hour, what these sessions' meters read in them; each reading is energy since the last one.
SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
    total_kwh(sum(nwh(kwh_consumed_ac)), sum(other_kwh(kwh_consumed_ac))) AS energy_ac,
    0 AS energy_dc, 0 AS energy_outside, count(*) AS ac_readings, 0 AS dc_readings, 0 AS readings,
    0 AS counter_resets, 0 AS temp_sum
FROM unnest(%(meter_ids)s::text[], %(meter_modes)s::text[], %(starts)s::timestamptz[],
        %(pasts)s::timestamptz[]) AS session (meter_id, mode, start, past)
JOIN meter_telemetry_history AS reading
    ON reading.meter_id = session.meter_id
    AND "timestamp" >= session.start AND "timestamp" < session.past
WHERE mode = 'interval' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
GROUP BY hour

-- name: ac_register
-- The same of registers. A session's first reading needs the one before it, its base, found from
-- `base_start` on, day by day from the newest.
WITH session AS (
    SELECT *
    FROM unnest(%(meter_ids)s::text[], %(meter_modes)s::text[], %(starts)s::timestamptz[],
            %(pasts)s::timestamptz[])
        WITH ORDINALITY AS session (meter_id, mode, start, past, number)
    WHERE mode = 'register'
),
registers AS (
    SELECT number, start, "timestamp", kwh_consumed_ac::numeric AS kwh
    FROM session
    JOIN meter_telemetry_history AS reading
        ON reading.meter_id = session.meter_id
        AND "timestamp" >= session.start AND "timestamp" < session.past
    WHERE "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    SELECT number, start, "timestamp", kwh_consumed_ac::numeric
    FROM session
    CROSS JOIN LATERAL (
        SELECT "timestamp", kwh_consumed_ac
        FROM meter_telemetry_history
        WHERE meter_id = session.meter_id AND "timestamp" < session.start
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
        ORDER BY "timestamp" DESC
        LIMIT 1) AS base
)
SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
    sum(increase(kwh, "timestamp", previous_kwh, previous_at)) AS energy_ac,
    0 AS energy_dc, 0 AS energy_outside, count(*) AS ac_readings, 0 AS dc_readings, 0 AS readings,
    count(*) FILTER (
        WHERE is_reset(kwh, "timestamp", previous_kwh, previous_at)) AS counter_resets,
    0 AS temp_sum
FROM (
    SELECT *, lag(kwh) OVER session AS previous_kwh, lag("timestamp") OVER session AS previous_at
    FROM registers
    WINDOW session AS (PARTITION BY number ORDER BY "timestamp")) AS reading
WHERE "timestamp" >= start
GROUP BY hour

-- name: dc_interval
-- By UTC hour, what the vehicle read, in sessions and outside of them; each reading is energy since
-- the last one.
SELECT hour, 0 AS energy_ac,
    CASE WHEN in_session THEN energy ELSE 0 END AS energy_dc,
    CASE WHEN in_session THEN 0 ELSE energy END AS energy_outside,
    0 AS ac_readings, CASE WHEN in_session THEN readings ELSE 0 END AS dc_readings, readings,
    0 AS counter_resets, temp_sum
FROM (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
        "timestamp" <@ %(charging)s::tstzmultirange AS in_session,
        total_kwh(sum(nwh(kwh_delivered_dc)), sum(other_kwh(kwh_delivered_dc))) AS energy,
        count(*) AS readings,
        total_celsius(sum(exact_temp(battery_temp))) AS temp_sum
    FROM vehicle_telemetry_history
    WHERE vehicle_id = %(vehicle_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    GROUP BY 1, 2) AS sums

-- name: dc_register
-- The same of a register.
WITH registers AS (
    SELECT "timestamp", kwh_delivered_dc::numeric AS kwh, battery_temp
    FROM vehicle_telemetry_history
    WHERE vehicle_id = %(vehicle_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    (SELECT "timestamp", kwh_delivered_dc::numeric, battery_temp
    FROM vehicle_telemetry_history
    WHERE vehicle_id = %(vehicle_id)s
        AND "timestamp" >= %(base_start)s AND "timestamp" < %(start)s
    ORDER BY "timestamp" DESC
    LIMIT 1)
)
SELECT hour, 0 AS energy_ac,
    CASE WHEN in_session THEN energy ELSE 0 END AS energy_dc,
    CASE WHEN in_session THEN 0 ELSE energy END AS energy_outside,
    0 AS ac_readings, CASE WHEN in_session THEN readings ELSE 0 END AS dc_readings, readings,
    counter_resets, temp_sum
FROM (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
        "timestamp" <@ %(charging)s::tstzmultirange AS in_session,
        sum(increase(kwh, "timestamp", previous_kwh, previous_at)) AS energy,
        count(*) AS readings,
        count(*) FILTER (
            WHERE is_reset(kwh, "timestamp", previous_kwh, previous_at)) AS counter_resets,
        total_celsius(sum(exact_temp(battery_temp))) AS temp_sum
    FROM (
        SELECT *, lag(kwh) OVER vehicle AS previous_kwh, lag("timestamp") OVER vehicle AS previous_at
        FROM registers
        WINDOW vehicle AS (ORDER BY "timestamp")) AS reading
    WHERE "timestamp" >= %(start)s
    GROUP BY 1, 2) AS sums

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
