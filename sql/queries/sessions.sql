-- Charging sessions. Whoever writes one locks the meter's row first, then the vehicle's, then the
-- session's, all in one transaction that writes no other session: a start by `lock_meter` and
-- `lock_vehicle`, everybody else by `lock`. So writers queue up at the devices instead of deadlocking
-- in the exclusion constraints, which stay as the belt, as the unique transaction does. Only under
-- these locks is it certain what `of_transaction` and `in_the_way` find. Session events write many
-- sessions in one transaction: how, session_events.sql says.

-- fragment: session_columns
session.session_id, session.meter_id, session.vehicle_id, session.started_at, session.ended_at,
session.is_active, session.end_reason, session.transaction_id, session.connector_id,
session.meter_start, session.meter_stop

-- name: lock_meter
-- No row when the meter is unknown.
SELECT FROM meters WHERE meter_id = %(meter_id)s FOR NO KEY UPDATE

-- name: lock_vehicle
-- No row when the vehicle is unknown.
SELECT FROM vehicles WHERE vehicle_id = %(vehicle_id)s FOR NO KEY UPDATE

-- name: last_end
-- When the newest session of the meter or the vehicle that ended within a second before `now` did.
SELECT max(ended_at) AS ended_at
FROM (
    SELECT ended_at FROM charging_sessions
    WHERE meter_id = %(meter_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(second)s, %(now)s, '[]')
    UNION ALL
    SELECT ended_at FROM charging_sessions
    WHERE vehicle_id = %(vehicle_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(second)s, %(now)s, '[]')
) AS recent
WHERE ended_at <= %(now)s

-- name: of_transaction
-- The session of a charger's transaction; no row when there is none.
SELECT
    -- include: session_columns
FROM charging_sessions AS session
WHERE transaction_id = %(transaction_id)s

-- name: in_the_way
-- The first session of the meter, and that of the vehicle, that shares time with [started_at,
-- ended_at), other than `session_id`, which may be null; null where there is none.
SELECT
    (SELECT session_id FROM charging_sessions
        WHERE meter_id = %(meter_id)s AND session_id IS DISTINCT FROM %(session_id)s::uuid
            AND tstzrange(started_at, ended_at) && tstzrange(%(started_at)s, %(ended_at)s)
        ORDER BY started_at LIMIT 1) AS of_meter,
    (SELECT session_id FROM charging_sessions
        WHERE vehicle_id = %(vehicle_id)s AND session_id IS DISTINCT FROM %(session_id)s::uuid
            AND tstzrange(started_at, ended_at) && tstzrange(%(started_at)s, %(ended_at)s)
        ORDER BY started_at LIMIT 1) AS of_vehicle

-- name: start
INSERT INTO charging_sessions AS session (meter_id, vehicle_id, started_at, ended_at, transaction_id,
    connector_id, meter_start, meter_stop)
VALUES (%(meter_id)s, %(vehicle_id)s, %(started_at)s, %(ended_at)s, %(transaction_id)s,
    %(connector_id)s, %(meter_start)s, %(meter_stop)s)
RETURNING
    -- include: session_columns

-- name: lock
-- The session as it is once it is locked. PostgreSQL locks in the order of the names at the end.
SELECT
    -- include: session_columns
FROM charging_sessions AS session
JOIN meters AS meter USING (meter_id)
JOIN vehicles AS vehicle USING (vehicle_id)
WHERE session_id = %(session_id)s
FOR NO KEY UPDATE OF meter, vehicle, session

-- name: end
-- By someone's word, whatever ended it before.
UPDATE charging_sessions AS session
SET ended_at = %(ended_at)s, timed_out = false, meter_stop = %(meter_stop)s
WHERE session_id = %(session_id)s
RETURNING
    -- include: session_columns

-- name: change
-- A session whose end is given was ended by someone, whatever ended it before.
UPDATE charging_sessions AS session
SET started_at = %(started_at)s, ended_at = %(ended_at)s, timed_out = timed_out AND NOT %(end_given)s,
    connector_id = %(connector_id)s, meter_start = %(meter_start)s, meter_stop = %(meter_stop)s
WHERE session_id = %(session_id)s
RETURNING
    -- include: session_columns

-- name: one
SELECT
    -- include: session_columns
FROM charging_sessions AS session
WHERE session_id = %(session_id)s

-- name: active
-- Newest first, from below the place (after_start, after_id) unless it is null.
SELECT
    -- include: session_columns
FROM charging_sessions AS session
WHERE ended_at IS NULL
    AND (%(after_start)s::timestamptz IS NULL
        OR (started_at, session_id) < (%(after_start)s, %(after_id)s::uuid))
ORDER BY started_at DESC, session_id DESC
LIMIT %(limit)s

-- name: search
-- Sessions that touch [start, end), newest first, from below that place. Each filter is off when it
-- is null.
SELECT
    -- include: session_columns
FROM charging_sessions AS session
WHERE (%(vehicle_id)s::text IS NULL OR vehicle_id = %(vehicle_id)s)
    AND (%(meter_id)s::text IS NULL OR meter_id = %(meter_id)s)
    AND (%(transaction_id)s::text IS NULL OR transaction_id = %(transaction_id)s)
    AND (%(end_time)s::timestamptz IS NULL OR started_at < %(end_time)s)
    AND (%(start_time)s::timestamptz IS NULL OR ended_at IS NULL OR ended_at > %(start_time)s
        OR (ended_at = started_at AND ended_at >= %(start_time)s))
    AND (%(after_start)s::timestamptz IS NULL
        OR (started_at, session_id) < (%(after_start)s, %(after_id)s::uuid))
ORDER BY started_at DESC, session_id DESC
LIMIT %(limit)s

-- fragment: idle
-- Of `active` sessions those whose devices have been silent since before `silent_since`, and when they
-- ended then: a microsecond after the last reading in them, or where they started when there is none.
-- The live states are asked for these devices alone, wherever they lie.
of_meter AS MATERIALIZED (
    SELECT session_id, live."timestamp" AS meter_at
    FROM active
    JOIN meter_live_state AS live ON live.meter_id = active.meter_id
),
of_vehicle AS MATERIALIZED (
    SELECT session_id, live."timestamp" AS vehicle_at
    FROM active
    JOIN vehicle_live_state AS live ON live.vehicle_id = active.vehicle_id
),
idle AS MATERIALIZED (
    SELECT session_id, started_at, greatest(started_at, meter_at + interval '1 microsecond',
        vehicle_at + interval '1 microsecond') AS ended_at
    FROM active
    LEFT JOIN of_meter USING (session_id)
    LEFT JOIN of_vehicle USING (session_id)
    WHERE greatest(started_at, meter_at, vehicle_at) < %(silent_since)s
)

-- name: idle_candidates
-- Active sessions whose devices have both been silent since before `silent_since`.
WITH active AS MATERIALIZED (
    SELECT session_id, meter_id, vehicle_id, started_at FROM charging_sessions WHERE ended_at IS NULL
),
-- include: idle
SELECT session_id FROM idle ORDER BY started_at, session_id

-- name: lock_no_longer
-- How long `lock` waits at most; somebody else's write may take long, or be frozen.
SET LOCAL lock_timeout = '2s'

-- name: end_idle
-- Ends that session, if it still is such a one. An active session reaches to infinity: its last reading
-- is its devices' newest.
WITH active AS MATERIALIZED (
    SELECT session_id, meter_id, vehicle_id, started_at
    FROM charging_sessions
    WHERE session_id = %(session_id)s AND ended_at IS NULL
),
-- include: idle
UPDATE charging_sessions AS session
SET ended_at = idle.ended_at, timed_out = true
FROM idle
WHERE session.session_id = idle.session_id AND session.ended_at IS NULL
RETURNING session.session_id, session.meter_id, session.vehicle_id, session.ended_at
