-- A meter's figures, whoever charged there.

-- name: meter
-- Its energy by UTC hour and session; a null session is none. A single row with a null hour when the
-- meter was not read in the window. `known` is the same in each.
WITH meter AS (
    SELECT coalesce((SELECT energy_reading FROM meters WHERE meter_id = %(meter_id)s),
        %(energy_reading)s) = 'register' AS is_register,
        EXISTS (SELECT FROM meters WHERE meter_id = %(meter_id)s)
            OR EXISTS (SELECT FROM meter_live_state WHERE meter_id = %(meter_id)s) AS known
),
readings AS (
    SELECT "timestamp", kwh_consumed_ac::numeric AS energy, false AS is_reset
    FROM meter_telemetry_history
    WHERE NOT (SELECT is_register FROM meter)
        AND meter_id = %(meter_id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    UNION ALL
    SELECT "timestamp", energy, is_reset
    FROM (SELECT %(meter_id)s::text AS device_id, %(start)s::timestamptz AS start,
        %(end)s::timestamptz AS past, %(base_start)s::timestamptz AS base_start) AS span
    CROSS JOIN LATERAL (
        -- include: register_increases of meter
    ) AS reading
    WHERE (SELECT is_register FROM meter)
),
sums AS (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour, session_id, sum(energy) AS energy_ac,
        count(*) AS readings, count(*) FILTER (WHERE is_reset) AS counter_resets
    FROM readings
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
SELECT
    -- include: session_columns
FROM charging_sessions
WHERE meter_id = %(meter_id)s
    AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
ORDER BY started_at
