-- Session events: what chargers say over Kafka, made into sessions. Whoever takes some takes them
-- alone (`lock`), before any position; then all their meters are locked, then all their vehicles, each
-- in order of their ids. So neither the API's writers of one session nor we can deadlock.

-- fragment: event_columns
"timestamp", meter_kwh, transaction_id, event, meter_id, vehicle_id, connector_id

-- name: lock
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: waiting
-- What waits for something of these transactions, or for the end of one of these sessions; in the
-- order in which it came.
SELECT rejected_id, blocked_by,
    -- include: event_columns
FROM waiting_session_events
JOIN rejected_records AS rejected ON rejected.id = rejected_id AND resolved_at IS NULL
WHERE (transaction_id = ANY(%(transactions)s) OR blocked_by = ANY(%(sessions)s))
    AND rejected_id <> ALL(%(known)s::bigint[])
ORDER BY rejected_id

-- name: sessions
SELECT transaction_id, session_id, meter_id, vehicle_id, started_at, ended_at, timed_out,
    connector_id, meter_start, meter_stop
FROM charging_sessions
WHERE transaction_id = ANY(%(transactions)s)

-- name: stored
SELECT session_id,
    -- include: event_columns
FROM session_events
WHERE transaction_id = ANY(%(transactions)s)

-- name: lock_meters
-- Those of these that are known.
SELECT meter_id FROM meters WHERE meter_id = ANY(%(ids)s) ORDER BY meter_id FOR NO KEY UPDATE

-- name: lock_vehicles
SELECT vehicle_id FROM vehicles WHERE vehicle_id = ANY(%(ids)s)
ORDER BY vehicle_id
FOR NO KEY UPDATE

-- name: start
-- A session with its start, and with its end where `past` says when that is. No row when another
-- session is in the way.
WITH session AS (
    INSERT INTO charging_sessions (meter_id, vehicle_id, started_at, ended_at, transaction_id,
        connector_id, meter_start, meter_stop)
    VALUES (%(meter_id)s, %(vehicle_id)s, from_micros(%(first)s), from_micros(%(past)s),
        %(transaction_id)s, %(connector_id)s, %(meter_start)s, %(meter_stop)s)
    ON CONFLICT DO NOTHING
    RETURNING session_id
), kept AS (
    INSERT INTO session_events (session_id,
        -- include: event_columns
    )
    SELECT session_id, from_micros(%(first)s), %(meter_start)s, %(transaction_id)s, 'start',
        %(meter_id)s, %(vehicle_id)s, %(connector_id)s
    FROM session
    UNION ALL
    SELECT session_id, from_micros(%(past)s), %(meter_stop)s, %(transaction_id)s, 'end',
        NULL, NULL, NULL
    FROM session
    WHERE %(past)s::bigint IS NOT NULL
)
SELECT session_id FROM session

-- name: end
WITH session AS (
    UPDATE charging_sessions
    SET ended_at = from_micros(%(past)s), timed_out = false,
        meter_stop = coalesce(%(meter_stop)s, meter_stop)
    WHERE session_id = %(session_id)s
    RETURNING session_id
), kept AS (
    INSERT INTO session_events (session_id,
        -- include: event_columns
    )
    SELECT session_id, from_micros(%(past)s), %(meter_stop)s, %(transaction_id)s, 'end',
        NULL, NULL, NULL
    FROM session
)
SELECT session_id FROM session

-- name: in_the_way
-- The first other session of the meter or the vehicle that touches [first, past); `past` null: no end.
SELECT session_id, meter_id, started_at, transaction_id
FROM (
    SELECT * FROM charging_sessions
    WHERE meter_id = %(meter_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(from_micros(%(first)s), from_micros(%(past)s))
    UNION ALL
    SELECT * FROM charging_sessions
    WHERE vehicle_id = %(vehicle_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(from_micros(%(first)s), from_micros(%(past)s))
) AS other
WHERE session_id IS DISTINCT FROM %(session_id)s::uuid
ORDER BY started_at, session_id
LIMIT 1

-- name: wait
-- Keeps what waits, by the rejected record that has it; where it was only counted, it cannot wait.
INSERT INTO waiting_session_events (rejected_id, blocked_by,
    -- include: event_columns
)
SELECT rejected.id, blocked_by, from_micros(micros), meter_kwh, transaction_id, event, meter_id,
    vehicle_id, connector_id
FROM unnest(
    %(topics)s::text[], %(partitions)s::int[], %(offsets)s::int8[], %(record_indexes)s::int[],
    %(record_ms)s::int8[], %(blocked_by)s::uuid[], %(micros)s::int8[], %(meter_kwh)s::float8[],
    %(transaction_ids)s::text[], %(events)s::text[], %(meter_ids)s::text[],
    %(vehicle_ids)s::text[], %(connector_ids)s::text[])
    AS read (topic, partition, "offset", record_index, record_ms, blocked_by, micros, meter_kwh,
        transaction_id, event, meter_id, vehicle_id, connector_id)
JOIN rejected_records AS rejected USING (topic, partition, "offset", record_index, record_ms)
WHERE resolved_at IS NULL
ON CONFLICT (rejected_id) DO UPDATE SET (blocked_by,
    -- include: event_columns
) = (EXCLUDED.blocked_by, EXCLUDED."timestamp", EXCLUDED.meter_kwh, EXCLUDED.transaction_id,
    EXCLUDED.event, EXCLUDED.meter_id, EXCLUDED.vehicle_id, EXCLUDED.connector_id)

-- name: retell
-- What waited is still rejected: the reason may be another one by now.
UPDATE rejected_records AS rejected
SET reason = told.reason, detail = told.detail
FROM unnest(%(ids)s::bigint[], %(reasons)s::text[], %(details)s::text[]) AS told (id, reason, detail)
WHERE rejected.id = told.id

-- name: block
UPDATE waiting_session_events AS waiting
SET blocked_by = told.blocked_by
FROM unnest(%(ids)s::bigint[], %(blocked_by)s::uuid[]) AS told (id, blocked_by)
WHERE waiting.rejected_id = told.id

-- name: wait_no_longer
DELETE FROM waiting_session_events WHERE rejected_id = ANY(%(ids)s)

-- name: origin
-- Where a rejected record came from.
SELECT topic, partition, "offset", record_index, record_ms FROM rejected_records WHERE id = %(id)s

-- name: free
-- What waited is stored now, or a duplicate: it is resolved, and the books of its partition say so.
WITH freed AS (
    SELECT * FROM unnest(%(ids)s::bigint[], %(outcomes)s::text[]) AS freed (id, outcome)
), resolved AS (
    UPDATE rejected_records AS rejected
    SET resolved_at = now(), resolved_by = 'another event', outcome = freed.outcome
    FROM freed
    WHERE rejected.id = freed.id AND resolved_at IS NULL
    RETURNING group_id, topic, partition, rejected.outcome
), booked AS (
    UPDATE ingest_offsets AS held
    SET rejected = held.rejected - moved.stored - moved.duplicate,
        stored = held.stored + moved.stored,
        duplicate = held.duplicate + moved.duplicate
    FROM (
        SELECT group_id, topic, partition, count(*) FILTER (WHERE outcome = 'stored') AS stored,
            count(*) FILTER (WHERE outcome = 'duplicate') AS duplicate
        FROM resolved
        GROUP BY group_id, topic, partition) AS moved
    WHERE (held.group_id, held.topic, held.partition)
        = (moved.group_id, moved.topic, moved.partition)
)
DELETE FROM waiting_session_events WHERE rejected_id = ANY(%(ids)s)
