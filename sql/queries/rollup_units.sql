-- The units of a step: the (vehicle, hour) pairs whose rollups are summed again, with all of the
-- vehicle's sessions in that hour and their meters. A step is one transaction, which drops its
-- temporary tables when it ends.

-- name: begin
-- A step concerns few rows of large tables: they are to be reached through their keys. A base is
-- found by walking an index backwards, which the planner leaves for a sort when it expects little.
-- `taken` holds entries of the log, `touched` the hours of devices they stand for.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_sort = off;
SET LOCAL enable_mergejoin = off;
CREATE TEMP TABLE taken (first timestamptz, past timestamptz, stream text, devices text[])
    ON COMMIT DROP;
CREATE TEMP TABLE touched (hour timestamptz, stream text COLLATE "C", device text COLLATE "C")
    ON COMMIT DROP;
CREATE TEMP TABLE units (
    hour timestamptz, vehicle_id text COLLATE "C", PRIMARY KEY (hour, vehicle_id)) ON COMMIT DROP

-- name: touch
-- Of short entries, every hour.
INSERT INTO touched
SELECT DISTINCT hour, stream, device
FROM taken
CROSS JOIN unnest(devices) AS device
CROSS JOIN generate_series(
    date_bin('1 hour', first, 'epoch'), past - interval '1 microsecond', '1 hour') AS hour
WHERE past - first <= %(short)s

-- name: touch_what_there_is
-- Of longer entries, such as whole histories, the hours that have readings: of the device itself, and
-- of the meters of a vehicle's sessions; and those that had some when they were last summed. To look
-- at each reading in between is cheap beside summing it, and an hour without any costs nothing.
WITH long AS MATERIALIZED (
    SELECT stream, device, first, past
    FROM taken
    CROSS JOIN unnest(devices) AS device
    WHERE past - first > %(short)s
),
spans AS (
    SELECT stream AS read, device, first, past, stream, device AS whose
    FROM long
    UNION ALL
    SELECT 'meter', meter_id, greatest(started_at, first), least(ended_at, past), stream, device
    FROM long
    JOIN charging_sessions
        ON vehicle_id = device AND tstzrange(started_at, ended_at) && tstzrange(first, past)
    WHERE stream = 'vehicle'
)
INSERT INTO touched
SELECT hour, stream, whose
FROM spans AS span
CROSS JOIN LATERAL (
    -- include: hours_read of meter
) AS reading
WHERE read = 'meter'
UNION
SELECT hour, stream, whose
FROM spans AS span
CROSS JOIN LATERAL (
    -- include: hours_read of vehicle
) AS reading
WHERE read = 'vehicle'
UNION
SELECT summed.hour, stream, device
FROM long
CROSS JOIN generate_series(date_bin('1 day', first, 'epoch'), past, '1 day') AS day
JOIN vehicle_days ON vehicle_days.hour = day AND vehicle_id = device
CROSS JOIN generate_series(0, 23) AS number
JOIN vehicle_hours AS summed
    ON summed.hour = day + number * interval '1 hour' AND summed.vehicle_id = device
WHERE stream = 'vehicle' AND summed.hour >= date_bin('1 hour', first, 'epoch') AND summed.hour < past

-- fragment: hours_read
SELECT DISTINCT date_bin('1 hour', "timestamp", 'epoch') AS hour
FROM {history}
WHERE {id} = span.device AND "timestamp" >= span.first AND "timestamp" < span.past

-- name: touch_followers
-- `start` is the end of the first hour touched.
INSERT INTO touched
-- include: register_followers of meter
UNION ALL
-- include: register_followers of vehicle

-- name: bounds
-- From when until when hours are touched; nulls when none is.
SELECT min(hour), max(hour) + interval '1 hour' FROM touched

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

-- name: analyze_units
-- Tells the planner how many there are.
ANALYZE units
