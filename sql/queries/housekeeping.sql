-- How the duties of housekeeping fare. Written by the holder of the lock, read by every worker.

-- name: begin_duty
INSERT INTO housekeeping_duties (duty, tried_at) VALUES (%(duty)s, now())
ON CONFLICT (duty) DO UPDATE SET tried_at = EXCLUDED.tried_at

-- name: end_duty
-- `why` is null when the duty was done.
UPDATE housekeeping_duties
SET last_success_at = CASE WHEN %(why)s::text IS NULL THEN now() ELSE last_success_at END,
    failing_since = CASE WHEN %(why)s::text IS NOT NULL THEN coalesce(failing_since, now()) END,
    why = %(why)s
WHERE duty = %(duty)s

-- name: duties
-- By duty: the second of its last success, null before the first; since when and why it fails, if it
-- does; when it was last tried, and for how many seconds nothing was tried; the last one tried first.
SELECT duty, extract(epoch FROM last_success_at)::float8,
    to_char(failing_since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), why,
    to_char(tried_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    extract(epoch FROM now() - tried_at)::float8
FROM housekeeping_duties
WHERE duty = ANY (%(duties)s)
ORDER BY tried_at DESC, duty

-- name: holder
-- Who holds housekeeping's lock: process id, application, since when it is connected, its state.
SELECT activity.pid, application_name,
    to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), state
FROM pg_locks
JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
JOIN pg_stat_activity AS activity USING (pid)
WHERE locktype = 'advisory' AND granted AND classid = 0 AND objid = %(lock)s AND objsubid = 1
