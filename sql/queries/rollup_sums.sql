-- The sums of a step's units, from the readings; and the rollups made of them. `start` and `end`
-- enclose all units, `base_start` the bases of registers as well. Each temporary table is read by the
-- statements that follow it.

-- A span is a stretch of time in which the readings of one device are summed.

-- name: find_session_spans
-- The units' sessions, cut to the hour; a span is the meter's.
CREATE TEMP TABLE session_spans ON COMMIT DROP AS
SELECT hour, unit.vehicle_id, session_id, session.meter_id AS device_id,
    greatest(started_at, hour) AS start, least(ended_at, hour + interval '1 hour') AS past,
    greatest(started_at, hour) - %(base_reach)s AS base_start,
    coalesce(energy_reading, %(energy_reading)s) = 'register' AS is_register
FROM units AS unit
JOIN charging_sessions AS session
    ON session.vehicle_id = unit.vehicle_id
    AND tstzrange(started_at, ended_at) && tstzrange(hour, hour + interval '1 hour')
JOIN meters ON meters.meter_id = session.meter_id

-- name: find_vehicle_spans
-- The units' hours; a span is the vehicle's.
CREATE TEMP TABLE vehicle_spans ON COMMIT DROP AS
SELECT hour, unit.vehicle_id AS device_id, hour AS start, hour + interval '1 hour' AS past,
    hour - %(base_reach)s AS base_start,
    coalesce(energy_reading, %(energy_reading)s) = 'register' AS is_register
FROM units AS unit
LEFT JOIN vehicles ON vehicles.vehicle_id = unit.vehicle_id

-- name: sum_ac
-- A row for each session and hour in which its meter was read.
CREATE TEMP TABLE ac_sums ON COMMIT DROP AS
SELECT hour, vehicle_id, energy, readings, resets
FROM session_spans AS span
CROSS JOIN LATERAL (
    SELECT total_kwh(sum(nwh(kwh_consumed_ac)), sum(other_kwh(kwh_consumed_ac))) AS energy,
        count(*) AS readings, 0 AS resets
    FROM meter_telemetry_history
    WHERE meter_id = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s) AS sums
WHERE NOT is_register AND readings > 0
UNION ALL
SELECT hour, vehicle_id, energy, readings, resets
FROM session_spans AS span
CROSS JOIN LATERAL (
    SELECT sum(energy) AS energy, count(*) AS readings, count(*) FILTER (WHERE is_reset) AS resets
    FROM (
        -- include: register_increases of meter
    ) AS reading) AS sums
WHERE is_register AND readings > 0

-- name: sum_dc
-- A row for each vehicle, hour and session in which the vehicle was read; what it read outside of
-- sessions has a null session.
CREATE TEMP TABLE dc_sums ON COMMIT DROP AS
WITH readings AS (
    SELECT hour, device_id, "timestamp", nwh(kwh_delivered_dc) AS nwh,
        other_kwh(kwh_delivered_dc) AS kwh, false AS is_reset, battery_temp
    FROM vehicle_spans AS span
    JOIN vehicle_telemetry_history
        ON vehicle_id = device_id
        AND "timestamp" >= span.start AND "timestamp" < span.past
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    WHERE NOT is_register
    UNION ALL
    SELECT hour, device_id, "timestamp", NULL, energy, is_reset, battery_temp
    FROM vehicle_spans AS span
    CROSS JOIN LATERAL (
        -- include: register_increases of vehicle
    ) AS reading
    WHERE is_register
)
SELECT reading.hour, reading.device_id AS vehicle_id, session_id,
    total_kwh(sum(nwh), sum(kwh)) AS energy,
    count(*) AS readings, count(*) FILTER (WHERE is_reset) AS resets,
    total_celsius(sum(exact_temp(battery_temp))) AS temp_sum
FROM readings AS reading
LEFT JOIN session_spans AS span
    ON span.hour = reading.hour AND span.vehicle_id = reading.device_id
    AND "timestamp" >= span.start AND "timestamp" < span.past
GROUP BY reading.hour, reading.device_id, session_id

-- name: make_vehicle_hours
CREATE TEMP TABLE new_vehicle_hours ON COMMIT DROP AS
WITH ac AS (
    SELECT hour, vehicle_id, sum(readings) AS readings, sum(resets) AS resets, sum(energy) AS energy
    FROM ac_sums
    GROUP BY hour, vehicle_id
),
dc AS (
    SELECT hour, vehicle_id, sum(readings) AS readings, sum(resets) AS resets,
        sum(temp_sum) AS temp_sum,
        sum(readings) FILTER (WHERE session_id IS NOT NULL) AS in_sessions,
        sum(energy) FILTER (WHERE session_id IS NOT NULL) AS energy,
        sum(energy) FILTER (WHERE session_id IS NULL) AS energy_outside
    FROM dc_sums
    GROUP BY hour, vehicle_id
)
SELECT hour, vehicle_id, coalesce(dc.readings, 0) AS readings,
    coalesce(ac.readings, 0) AS ac_readings, coalesce(dc.in_sessions, 0) AS dc_readings,
    coalesce(ac.resets, 0) + coalesce(dc.resets, 0) AS counter_resets,
    coalesce(dc.temp_sum, 0) AS temp_sum, coalesce(ac.energy, 0) AS energy_ac,
    coalesce(dc.energy, 0) AS energy_dc, coalesce(dc.energy_outside, 0) AS energy_outside
FROM ac
FULL JOIN dc USING (hour, vehicle_id)

-- name: find_unit_days
-- The days of the units; `hour` is a day's first.
CREATE TEMP TABLE unit_days ON COMMIT DROP AS
SELECT DISTINCT date_bin('1 day', hour, 'epoch') AS hour, vehicle_id FROM units

-- name: make_vehicle_days
CREATE TEMP TABLE new_vehicle_days ON COMMIT DROP AS
SELECT day.hour, day.vehicle_id, sum(readings) AS readings, sum(ac_readings) AS ac_readings,
    sum(dc_readings) AS dc_readings, sum(counter_resets) AS counter_resets,
    sum(temp_sum) AS temp_sum, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
    sum(energy_outside) AS energy_outside
FROM unit_days AS day
CROSS JOIN generate_series(0, 23) AS number
JOIN vehicle_hours AS part
    ON part.hour = day.hour + number * interval '1 hour' AND part.vehicle_id = day.vehicle_id
GROUP BY day.hour, day.vehicle_id

-- name: delete_vehicle_rows
-- Of {rollup}, vehicle_hours or vehicle_days, those of the {units} that have no readings any more.
DELETE FROM {rollup} AS old
USING {units} AS unit
WHERE old.hour = unit.hour AND old.vehicle_id = unit.vehicle_id
    AND NOT EXISTS (
        SELECT FROM {new} AS new
        WHERE new.hour = old.hour AND new.vehicle_id = old.vehicle_id)

-- name: write_vehicle_rows
INSERT INTO {rollup} AS old (hour, vehicle_id, readings, ac_readings, dc_readings,
    counter_resets, temp_sum, energy_ac, energy_dc, energy_outside)
SELECT * FROM {new}
ON CONFLICT (hour, vehicle_id) DO UPDATE
SET readings = EXCLUDED.readings, ac_readings = EXCLUDED.ac_readings,
    dc_readings = EXCLUDED.dc_readings, counter_resets = EXCLUDED.counter_resets,
    temp_sum = EXCLUDED.temp_sum, energy_ac = EXCLUDED.energy_ac,
    energy_dc = EXCLUDED.energy_dc, energy_outside = EXCLUDED.energy_outside
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)
