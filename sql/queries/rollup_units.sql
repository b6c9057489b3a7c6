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
CREATE TEMP TABLE taken (
    first timestamptz, past timestamptz, stream text, devices text[], late boolean)
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
-- Of longer entries, such as whole histories, the hours that have readings, and those of the device's
-- sessions; and those that had some when they were last summed. To look at each reading in between is
-- cheap beside summing it, and an hour without any costs nothing.
WITH long AS MATERIALIZED (
    SELECT stream, device, first, past
    FROM taken
    CROSS JOIN unnest(devices) AS device
    WHERE past - first > %(short)s
)
INSERT INTO touched
SELECT hour, stream, device
FROM long AS span
CROSS JOIN LATERAL (
    -- include: hours_read of meter
    UNION
    -- include: hours_in_sessions of meter
) AS reading
WHERE stream = 'meter'
UNION
SELECT hour, stream, device
FROM long AS span
CROSS JOIN LATERAL (
    -- include: hours_read of vehicle
    UNION
    -- include: hours_in_sessions of vehicle
) AS reading
WHERE stream = 'vehicle'
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
UNION
SELECT DISTINCT date_bin('1 hour', t, 'epoch')
FROM energy_as_corrected('{name}', span.device, span.first, span.past)
WHERE EXISTS (
    SELECT FROM corrections
    WHERE stream = '{name}' AND device_id = span.device AND undone_at IS NULL)

-- fragment: hours_in_sessions
SELECT hour
FROM charging_sessions AS session
CROSS JOIN generate_series(date_bin('1 hour', greatest(started_at, span.first), 'epoch'),
    least(ended_at, span.past), '1 hour') AS hour
WHERE session.{id} = span.device AND tstzrange(started_at, ended_at, '[]')
    && tstzrange(span.first, span.past)

-- name: take_moved
-- Where corrections move what lies in the taken entries, things change as well.
INSERT INTO taken
SELECT greatest(%(oldest)s, greatest(taken.first, stretch.first) + moved_by),
    least(%(horizon)s, least(taken.past, stretch.past) + moved_by), stream, ARRAY[device], true
FROM taken
CROSS JOIN unnest(devices) AS device
JOIN corrected_stretches AS stretch USING (stream)
WHERE stretch.device_id = device AND moved_by IS NOT NULL
    AND stretch.first < least(taken.past, %(horizon)s - moved_by)
    AND stretch.past > greatest(taken.first, %(oldest)s - moved_by)
    AND taken.first < %(horizon)s - moved_by AND taken.past > %(oldest)s - moved_by

-- name: bounds_of_taken
-- From when until when they reach.
SELECT min(first), max(past) FROM taken

-- name: touch_neighbours
-- A reading changes what others are credited with, and how much they cover: of a register the two
-- before it, since it may take a drop back; a late one also those after it, as far as the dips it may
-- have changed are remembered; and sessions that ended in between.
INSERT INTO touched
SELECT DISTINCT date_bin('1 hour', at, 'epoch'), stream, device
FROM (
    -- include: neighbours of meter
    UNION ALL
    -- include: neighbours of vehicle
) AS neighbour

-- fragment: changes
-- What is taken of one stream and may touch others than its own hours.
SELECT '{name}' AS stream, first, past, late, device, is_register, is_corrected, coalesce(pace, '1 minute') AS each
FROM taken
CROSS JOIN unnest(devices) AS device
LEFT JOIN {devices} ON {devices}.{id} = device
CROSS JOIN LATERAL (SELECT
    -- include: {name}_like
) AS is_like
CROSS JOIN LATERAL (SELECT EXISTS (
    SELECT 1 FROM corrections
    WHERE corrections.stream = '{name}' AND device_id = device AND undone_at IS NULL)
) AS changed (is_corrected)
WHERE stream = '{name}' AND (is_register OR late
    OR first - 3 * coalesce(pace, '1 minute') < date_bin('1 hour', first, 'epoch')
    OR past + 3 * coalesce(pace, '1 minute') >= date_bin('1 hour', past - interval '1 microsecond', 'epoch')
        + interval '1 hour')

-- fragment: neighbours
SELECT stream, device, at
FROM (
    -- include: changes of {name}
    ) AS change
CROSS JOIN LATERAL (
    SELECT array_agg(t ORDER BY t DESC) AS times, least(min(t), first - 3 * each) AS lower
    FROM (
        (SELECT "timestamp" AS t
        FROM {history}
        WHERE {id} = device AND "timestamp" < first AND "timestamp" >= first - 2 * %(reach)s
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s AND NOT is_corrected
        ORDER BY "timestamp" DESC
        LIMIT CASE WHEN is_register THEN 3 ELSE 0 END)
        UNION ALL
        SELECT t
        FROM energy_before('{name}', device, first, 3, first - 2 * %(reach)s::interval)
        WHERE is_register AND is_corrected) AS reading) AS before
CROSS JOIN LATERAL (
    SELECT array_agg(t ORDER BY t) AS times, greatest(max(t), past + 3 * each) AS upper
    FROM (
        (SELECT "timestamp" AS t
        FROM {history}
        WHERE {id} = device AND "timestamp" >= past AND "timestamp" < past + %(reach)s
            AND "timestamp" >= %(start)s AND "timestamp" < %(reach_end)s AND NOT is_corrected
        ORDER BY "timestamp"
        LIMIT CASE WHEN NOT late THEN 0 WHEN is_register THEN 13 ELSE 1 END)
        UNION ALL
        SELECT t
        FROM energy_after('{name}', device, past, CASE WHEN is_register THEN 13 ELSE 1 END,
            past + %(reach)s::interval)
        WHERE late AND is_corrected) AS reading) AS after
CROSS JOIN LATERAL (
    SELECT unnest(before.times || after.times) AS at
    UNION ALL
    -- What the next reading covers before it depends on how long ago the one before is.
    SELECT after.times[1] - 2 * each WHERE after.times IS NOT NULL
    UNION ALL
    SELECT hour
    FROM charging_sessions AS session
    CROSS JOIN generate_series(
        date_bin('1 hour', greatest(started_at, first - 3 * each), 'epoch'),
        least(ended_at, past + 3 * each), '1 hour') AS hour
    WHERE session.{id} = device
        AND tstzrange(started_at, ended_at, '[]') && tstzrange(lower, upper, '[]')
        AND (lower < date_bin('1 hour', first, 'epoch')
            OR upper >= date_bin('1 hour', past - interval '1 microsecond', 'epoch')
            + interval '1 hour')
    UNION ALL
    SELECT greatest(started_at, ended_at - interval '1 microsecond')
    FROM charging_sessions AS session
    WHERE session.{id} = device AND ended_at BETWEEN lower AND upper
        AND tstzrange(started_at, ended_at, '[]') && tstzrange(lower, upper, '[]')
        AND lower < date_bin('1 hour', first, 'epoch')
    UNION ALL
    SELECT edge
    FROM charging_sessions AS session
    CROSS JOIN LATERAL (VALUES (started_at, meter_start),
        (greatest(started_at, ended_at - interval '1 microsecond'), meter_stop)) AS said (edge, kwh)
    WHERE '{name}' = 'meter' AND is_register AND late AND session.{id} = device AND kwh IS NOT NULL
        AND tstzrange(started_at, ended_at, '[]') && tstzrange(first - %(reach)s, past + %(reach)s, '[]')
        AND edge >= coalesce(before.times[3], first - %(reach)s)
        AND edge <= coalesce(after.times[13], past + %(reach)s)
) AS near

-- name: bounds
-- From when until when hours are touched; nulls when none is.
SELECT min(hour), max(hour) + interval '1 hour' FROM touched

-- name: find_sessions
-- The sessions that meet what is touched, or lie up to half an hour before.
CREATE TEMP TABLE sessions ON COMMIT DROP AS
SELECT session_id, meter_id, vehicle_id, started_at, coalesce(ended_at, 'infinity') AS ended_at
FROM charging_sessions
WHERE tstzrange(started_at, ended_at, '[]')
    && tstzrange(%(start)s::timestamptz - interval '30 minutes', %(end)s, '[]')

-- name: index_sessions
CREATE INDEX ON sessions (meter_id);
CREATE INDEX ON sessions (vehicle_id);
ANALYZE sessions

-- name: find_units
-- A meter's hour is its sessions' vehicles' hour. Hours of a retired day are final.
INSERT INTO units
SELECT DISTINCT hour, vehicle_id
FROM (
    SELECT hour, device AS vehicle_id FROM touched WHERE stream = 'vehicle'
    UNION ALL
    SELECT hour, vehicle_id
    FROM touched
    JOIN sessions
        ON meter_id = device AND started_at < hour + interval '1 hour' AND ended_at >= hour
    WHERE stream = 'meter') AS found
WHERE NOT EXISTS (SELECT FROM retired_days WHERE day = (hour AT TIME ZONE 'UTC')::date)

-- name: analyze_units
-- Tells the planner how many there are.
ANALYZE units
