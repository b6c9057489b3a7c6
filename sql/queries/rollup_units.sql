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
INSERT INTO touched
SELECT DISTINCT hour, stream, device
FROM taken
CROSS JOIN unnest(devices) AS device
CROSS JOIN generate_series(
    date_bin('1 hour', first, 'epoch'), past - interval '1 microsecond', '1 hour') AS hour

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
