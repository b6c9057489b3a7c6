-- The log of what changed, which the rollups have yet to take in. An entry is a stretch of time of
-- some devices. Triggers write the entries of sessions and of devices' modes.

-- name: log_readings
-- What a flush stored: readings of these devices, one device a line, in [first, past), which are
-- microseconds since 2000. Those that are not `late` are newer than all others of their devices.
INSERT INTO rollup_log (stream, devices, first, past, late)
VALUES (%s, string_to_array(%s, E'\n'), from_micros(%s), from_micros(%s), %s)

-- name: log_everything
-- The whole history of every vehicle.
INSERT INTO rollup_log (stream, devices, first, past)
SELECT 'vehicle', ARRAY[vehicle_id], '-infinity', 'infinity'
FROM (SELECT vehicle_id FROM vehicle_live_state UNION SELECT vehicle_id FROM charging_sessions) AS v

-- name: made_by
-- What the deployment said, and by which edition of the rules, when the rollups were made; no row
-- before the first round.
SELECT energy_reading, report_seconds, max_plausible_kw, edition FROM rollup_state

-- name: set_made_by
INSERT INTO rollup_state AS state (energy_reading, report_seconds, max_plausible_kw, edition)
VALUES (%s, %s, %s, %s)
ON CONFLICT (only_row) DO UPDATE
SET energy_reading = EXCLUDED.energy_reading, report_seconds = EXCLUDED.report_seconds,
    max_plausible_kw = EXCLUDED.max_plausible_kw, edition = EXCLUDED.edition

-- name: say_edition
-- Of the rules by which the transaction makes rollups.
SELECT set_config('energy_ingest.edition', %(edition)s::text, true)

-- name: backlog
-- How many entries wait, and the age in seconds of the oldest.
SELECT count(*), coalesce(extract(epoch FROM now() - min(logged_at)), 0)::float8 FROM rollup_log

-- name: newest_entry
-- The id of the newest entry; 0 when the log is empty.
SELECT coalesce(max(id), 0) FROM rollup_log

-- name: oldest_day
-- The start of the oldest day there are readings of, as corrected, too, or were when it was last summed:
-- a correction may have been undone. From 1900 on; `horizon` when there is none.
SELECT greatest('1900-01-01Z', coalesce(date_bin('1 day', least(oldest,
    (SELECT min("timestamp") FROM meter_corrected_readings),
    (SELECT min("timestamp") FROM vehicle_corrected_readings),
    (SELECT min(hour) FROM vehicle_days WHERE hour > coalesce(
        (SELECT max(day)::timestamp AT TIME ZONE 'UTC' FROM retired_days), '-infinity')),
    (SELECT min(greatest(first, oldest) + moved_by) FROM corrected_stretches WHERE moved_by < '0')),
    'epoch'), %(horizon)s))
FROM least(history_since('meter_telemetry_history'), history_since('vehicle_telemetry_history'))
    AS oldest

-- name: entries
-- The next entries, with the number of devices each stands for and the most hours of each, cut to
-- where readings can be: from `oldest` up to `horizon`. They come by hour, so that what many flushes
-- touched is summed once.
SELECT id, cardinality(devices), start,
    greatest(0, ceil(extract(epoch FROM least(past, %(horizon)s) - start) / 3600))::bigint
FROM (
    SELECT *, date_bin('1 hour', least(greatest(first, %(oldest)s), %(horizon)s), 'epoch') AS start
    FROM rollup_log
    WHERE id <= %(newest)s) AS entry
ORDER BY whole, first, id
LIMIT %(limit)s

-- name: take
-- Takes whole entries out of the log. Those that lie where no readings can be change nothing.
WITH gone AS (
    DELETE FROM rollup_log WHERE id = ANY (%(ids)s) RETURNING first, past, stream, devices, late
)
INSERT INTO taken SELECT greatest(first, %(oldest)s), least(past, %(horizon)s), stream, devices, late
FROM gone
WHERE greatest(first, %(oldest)s) < least(past, %(horizon)s)

-- name: take_first_hours
-- Takes the hours before `until` out of an entry that is too large for one step.
WITH part AS (
    UPDATE rollup_log SET first = %(until)s WHERE id = %(id)s RETURNING stream, devices
)
INSERT INTO taken SELECT %(first)s, %(until)s, stream, devices, true FROM part
