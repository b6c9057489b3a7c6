-- Alerts of the figures: which sessions to judge, what is silent or sinks, and each alert's life.

-- name: mark_sessions
-- Of the sessions in the step's hours, those whose figures may be others now: the ones that ended not
-- long ago, and those with an alert that is not resolved. In the rollups' transaction.
INSERT INTO sessions_to_judge (session_id)
SELECT DISTINCT session_id
FROM units
JOIN sessions USING (vehicle_id)
WHERE started_at < hour + interval '1 hour' AND ended_at >= hour
    AND (ended_at BETWEEN %(now)s - %(recent)s AND %(now)s OR EXISTS (
        SELECT FROM alerts
        WHERE alerts.session_id = sessions.session_id AND resolved_at IS NULL))
ON CONFLICT DO NOTHING

-- name: sessions_to_judge
-- Those that were marked longest ago, before `settled`.
SELECT session_id FROM sessions_to_judge
WHERE since < %(settled)s ORDER BY since LIMIT %(limit)s

-- name: take_session
-- No row when another process has taken it. Figures that change from here on mark it again, once
-- this transaction has ended.
DELETE FROM sessions_to_judge WHERE session_id = %(session_id)s RETURNING session_id

-- name: put_off
-- A session that could not be judged is tried again after the others.
UPDATE sessions_to_judge SET since = now() WHERE session_id = %(session_id)s

-- fragment: alert_columns
alert_id, number, code, message, why, stream AS stream_type, device_id, session_id,
CASE stream WHEN 'meter' THEN device_id ELSE meter_id END AS meter_id,
CASE stream WHEN 'vehicle' THEN device_id END AS vehicle_id,
opened_at, certain_since, acknowledged_at, acknowledged_by, note, resolved_at

-- name: standing_of_session
-- The session's alerts that are not resolved.
SELECT
    -- include: alert_columns
FROM alerts WHERE session_id = %(session_id)s AND resolved_at IS NULL

-- name: standing
-- The alerts of this code that are not resolved.
SELECT
    -- include: alert_columns
FROM alerts WHERE code = %(code)s AND resolved_at IS NULL

-- name: silent
-- The devices that have said nothing for longer than `quiet` and `reports` times their pace, before
-- all was read up to `heard_until`: those that fell silent since `recent`, or have an alert already.
-- `heard` is of how many devices anything was heard since `recent`.
WITH known AS (
    SELECT 'meter' AS stream, meter_id AS device_id, live."timestamp" AS last_reading,
        report_seconds, true AS in_reach
    FROM meter_live_state AS live
    LEFT JOIN (SELECT meter_id, report_seconds, is_active FROM meters) AS device USING (meter_id)
    WHERE coalesce(device.is_active, true)
    UNION ALL
    SELECT 'vehicle', vehicle_id, live."timestamp", report_seconds, session_id IS NOT NULL
    FROM vehicle_live_state AS live
    LEFT JOIN (SELECT vehicle_id, report_seconds, is_active FROM vehicles) AS device
        USING (vehicle_id)
    LEFT JOIN (SELECT vehicle_id, session_id FROM charging_sessions WHERE ended_at IS NULL) AS session
        USING (vehicle_id)
    WHERE coalesce(device.is_active, true)
),
judged AS (
    SELECT stream, device_id, last_reading, in_reach,
        last_reading < %(heard_until)s - greatest(%(quiet)s, %(reports)s * interval '1 second'
            * coalesce(report_seconds, %(report_seconds)s, %(usual_pace_s)s)) AS is_silent,
        last_reading >= %(recent)s AS is_recent
    FROM known
)
SELECT stream, device_id, last_reading, in_reach, is_recent,
    (SELECT count(*) FROM judged WHERE is_recent) AS heard
FROM judged
WHERE is_silent AND (is_recent OR EXISTS (
    SELECT 1 FROM alerts
    WHERE code = 'silent_device' AND alerts.stream = judged.stream
        AND alerts.device_id = judged.device_id AND resolved_at IS NULL))
ORDER BY stream, device_id

-- name: chargers_in_time
-- What each charger's sessions add up to in [start, recent) and in [recent, end), in kWh.
SELECT meter_id, ac_before, dc_before, ac_recent, dc_recent, estimated, implausible
FROM (
    SELECT meter_id,
        coalesce(sum(energy_ac) FILTER (WHERE hour < %(recent)s), 0) AS ac_before,
        coalesce(sum(energy_dc) FILTER (WHERE hour < %(recent)s), 0) AS dc_before,
        coalesce(sum(energy_ac) FILTER (WHERE hour >= %(recent)s), 0) AS ac_recent,
        coalesce(sum(energy_dc) FILTER (WHERE hour >= %(recent)s), 0) AS dc_recent,
        coalesce(sum(estimated_ac + estimated_dc), 0) AS estimated,
        sum(implausible) AS implausible
    FROM charger_hours
    WHERE hour >= %(start)s AND hour < %(end)s
    GROUP BY meter_id) AS charger
WHERE ac_before >= %(enough_before)s AND ac_recent >= %(enough_recent)s
ORDER BY meter_id

-- name: lock_events
SELECT pg_advisory_xact_lock(%(lock)s)

-- name: open
-- No row when it is there already.
INSERT INTO alerts (code, stream, device_id, meter_id, session_id, message, why, opened_at,
    certain_since)
VALUES (%(code)s, %(stream)s, %(device_id)s, %(meter_id)s, %(session_id)s, %(message)s, %(why)s,
    %(now)s, CASE WHEN %(why)s::text IS NULL THEN %(now)s::timestamptz END)
ON CONFLICT DO NOTHING
RETURNING
    -- include: alert_columns

-- name: change
-- One that was certain stays so: it was told.
UPDATE alerts
SET message = %(message)s, why = CASE WHEN certain_since IS NULL THEN %(why)s::text END,
    certain_since = coalesce(
        certain_since, CASE WHEN %(why)s::text IS NULL THEN %(now)s::timestamptz END)
WHERE alert_id = %(alert_id)s AND resolved_at IS NULL
RETURNING
    -- include: alert_columns

-- name: resolve
UPDATE alerts SET resolved_at = %(now)s
WHERE alert_id = %(alert_id)s AND resolved_at IS NULL
RETURNING
    -- include: alert_columns

-- name: tell
INSERT INTO alert_events (alert_id, event, stream, device_id, alert)
VALUES (%(alert_id)s, %(event)s, %(stream_type)s, %(device_id)s, %(alert)s)

-- name: acknowledge
-- The first time and name stay; a new note replaces the one before. No row when it is resolved.
UPDATE alerts
SET acknowledged_at = coalesce(acknowledged_at, %(now)s),
    acknowledged_by = coalesce(acknowledged_by, %(acknowledged_by)s), note = coalesce(%(note)s, note)
WHERE alert_id = %(alert_id)s AND resolved_at IS NULL
RETURNING
    -- include: alert_columns

-- name: one
SELECT
    -- include: alert_columns
FROM alerts WHERE alert_id = %(alert_id)s

-- name: page
-- The newest first. `device_id` is the device's, or that of the session's meter.
SELECT
    -- include: alert_columns
FROM alerts
WHERE (%(code)s::text IS NULL OR code = %(code)s)
    AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s OR meter_id = %(device_id)s)
    AND (%(certain)s::boolean IS NULL OR (certain_since IS NOT NULL) = %(certain)s)
    AND (%(state)s::text IS NULL OR %(state)s = CASE
        WHEN resolved_at IS NOT NULL THEN 'resolved'
        WHEN acknowledged_at IS NOT NULL THEN 'acknowledged' ELSE 'open' END)
    AND (%(after)s::bigint IS NULL OR number < %(after)s)
ORDER BY number DESC
LIMIT %(limit)s

-- name: told
-- The certain alerts that are not resolved.
SELECT
    -- include: alert_columns
FROM alerts WHERE resolved_at IS NULL AND certain_since IS NOT NULL
ORDER BY number

-- name: open_counts
-- How many certain ones of each code are not resolved.
SELECT code, count(*) AS alerts
FROM alerts
WHERE resolved_at IS NULL AND certain_since IS NOT NULL
GROUP BY code
