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
        %(pasts)s::timestamptz[]) AS span (device_id, mode, start, past)
JOIN meter_telemetry_history
    ON meter_id = device_id AND "timestamp" >= span.start AND "timestamp" < span.past
WHERE mode = 'interval' AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
GROUP BY hour

-- name: ac_register
-- The same of registers.
SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
    sum(energy) AS energy_ac,
    0 AS energy_dc, 0 AS energy_outside, count(*) AS ac_readings, 0 AS dc_readings, 0 AS readings,
    count(*) FILTER (WHERE is_reset) AS counter_resets, 0 AS temp_sum
FROM (
    SELECT *, %(base_start)s::timestamptz AS base_start
    FROM unnest(%(meter_ids)s::text[], %(meter_modes)s::text[], %(starts)s::timestamptz[],
        %(pasts)s::timestamptz[]) AS session (device_id, mode, start, past)) AS span
CROSS JOIN LATERAL (
    -- include: register_increases of meter
) AS reading
WHERE mode = 'register'
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
SELECT hour, 0 AS energy_ac,
    CASE WHEN in_session THEN energy ELSE 0 END AS energy_dc,
    CASE WHEN in_session THEN 0 ELSE energy END AS energy_outside,
    0 AS ac_readings, CASE WHEN in_session THEN readings ELSE 0 END AS dc_readings, readings,
    counter_resets, temp_sum
FROM (
    SELECT date_bin('1 hour', "timestamp", 'epoch') AS hour,
        "timestamp" <@ %(charging)s::tstzmultirange AS in_session,
        sum(energy) AS energy, count(*) AS readings,
        count(*) FILTER (WHERE is_reset) AS counter_resets,
        total_celsius(sum(exact_temp(battery_temp))) AS temp_sum
    FROM (SELECT %(vehicle_id)s::text AS device_id, %(start)s::timestamptz AS start,
        %(end)s::timestamptz AS past, %(base_start)s::timestamptz AS base_start) AS span
    CROSS JOIN LATERAL (
        -- include: register_increases of vehicle
    ) AS reading
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
