-- Telling others of alerts: which events each target has yet to get. One process does it at a time.

-- name: know_targets
-- Those that are new get the events from now on, and the opening of each alert that is not resolved.
-- Those that are configured no more are forgotten.
WITH gone AS (
    DELETE FROM alert_targets WHERE target <> ALL (%(targets)s)
),
new AS (
    INSERT INTO alert_targets (target, queued_to)
    SELECT target, coalesce((SELECT max(number) FROM alert_events), 0)
    FROM unnest(%(targets)s::text[]) AS target
    ON CONFLICT DO NOTHING
    RETURNING target
)
INSERT INTO alert_deliveries (target, number)
SELECT target, event.number
FROM new
CROSS JOIN alert_events AS event
JOIN alerts USING (alert_id)
WHERE event = 'opened' AND resolved_at IS NULL

-- name: queue
-- What a target has yet to get, up to now. Events are numbered in the order of their commits: none
-- below the highest comes later.
WITH newest AS MATERIALIZED (
    SELECT coalesce(max(number), 0) AS number FROM alert_events
),
queued AS (
    UPDATE alert_targets AS target
    SET queued_to = newest.number
    FROM newest, alert_targets AS before
    WHERE before.target = target.target AND target.target = %(target)s
        AND target.queued_to < newest.number
    RETURNING target.target, before.queued_to AS past, newest.number AS last
)
INSERT INTO alert_deliveries (target, number)
SELECT target, event.number
FROM queued
JOIN alert_events AS event ON event.number > past AND event.number <= last
ON CONFLICT DO NOTHING

-- name: due
-- What a target is to get now: of each device the oldest event, for they are told in order. Of a target
-- that failed, one alone, to see whether it works again.
SELECT delivery.number, event_id, event, at, event.stream, event.device_id, alert, attempts
FROM (
    SELECT DISTINCT ON (stream, device_id) delivery.*, failures
    FROM alert_deliveries AS delivery
    JOIN alert_events USING (number)
    JOIN alert_targets USING (target)
    WHERE target = %(target)s AND alert_targets.next_at <= %(now)s
    ORDER BY stream, device_id, number) AS delivery
JOIN alert_events AS event USING (number)
WHERE next_at <= %(now)s
ORDER BY attempts, number
LIMIT %(limit)s

-- name: target
-- How often in a row the target itself has failed.
SELECT failures FROM alert_targets WHERE target = %(target)s

-- name: delivered
-- The target works, so the others need not wait for it.
WITH gone AS (
    DELETE FROM alert_deliveries WHERE target = %(target)s AND number = %(number)s
)
UPDATE alert_targets SET failures = 0, error = NULL, delivered_at = %(now)s
WHERE target = %(target)s

-- name: refused
-- The target works, but does not take this one.
UPDATE alert_deliveries
SET attempts = attempts + 1, next_at = %(next_at)s, error = %(error)s
WHERE target = %(target)s AND number = %(number)s

-- name: failed
-- The target itself does not work.
UPDATE alert_targets
SET failures = failures + 1, next_at = %(next_at)s, error = %(error)s
WHERE target = %(target)s

-- name: undelivered
-- How many events each target has yet to get, and the age in seconds of the oldest.
SELECT target.target, count(delivery.number) AS events,
    coalesce(extract(epoch FROM now() - min(at)), 0)::float8 AS age_s
FROM alert_targets AS target
LEFT JOIN alert_deliveries AS delivery USING (target)
LEFT JOIN alert_events AS event USING (number)
GROUP BY target.target
