-- Corrections of a device's readings, and what those in force make of them. Who makes or undoes one
-- holds the device's lock, so that each sees what the one before it left. Numbers, of corrections, are
-- the order in which they are applied; times in lists are microseconds since 2000.

-- fragment: correction_columns
correction_id, device_id, stream AS stream_type, first AS start_time, past AS end_time, action,
(extract(epoch FROM shift_by) * 1000000)::bigint AS shift_us, readings, reason, made_by, created_at,
undone_at, undone_by, number

-- name: lock
-- Until the transaction ends.
SELECT pg_advisory_xact_lock(%(lock)s, hashtext(%(stream)s || ' ' || %(device)s))

-- name: in_force
-- A device's corrections in force, in order.
SELECT number, first, past, action, (extract(epoch FROM shift_by) * 1000000)::bigint AS shift
FROM corrections
WHERE stream = %(stream)s AND device_id = %(device)s AND undone_at IS NULL
ORDER BY number

-- name: create
INSERT INTO corrections (
    stream, device_id, first, past, action, shift_by, readings, reason, made_by)
VALUES (
    %(stream)s, %(device)s, %(first)s, %(past)s, %(action)s,
    %(shift_us)s::bigint * interval '1 microsecond', %(readings)s, %(reason)s, %(made_by)s)
RETURNING
    -- include: correction_columns

-- name: undo
-- No row when it was undone already.
UPDATE corrections
SET undone_at = now(), undone_by = %(undone_by)s
WHERE correction_id = %(correction_id)s AND undone_at IS NULL
RETURNING number

-- name: one
SELECT
    -- include: correction_columns
FROM corrections
WHERE correction_id = %(correction_id)s

-- name: page
-- By number, from beyond `after`, those that match what is not null: at most `limit`, and none once
-- those before it brought in `most_readings`, which are counted one by one, so that no more are read.
WITH RECURSIVE page (number, place, before, brought) AS (
    SELECT coalesce(%(after)s::bigint, 0), 0, 0, 0
    UNION ALL
    SELECT next.number, place + 1, before + page.brought, next.brought
    FROM page
    CROSS JOIN LATERAL (
        SELECT number, coalesce(jsonb_array_length(readings), 0) AS brought
        FROM corrections
        WHERE number > page.number
            AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
            AND (%(stream_type)s::text IS NULL OR stream = %(stream_type)s)
            AND (%(undone)s OR undone_at IS NULL)
        ORDER BY number
        LIMIT 1) AS next
    WHERE place < %(limit)s AND before < %(most_readings)s
)
SELECT before,
    -- include: correction_columns
FROM page
JOIN corrections USING (number)
WHERE place > 0
ORDER BY number

-- name: retired
-- The first retired day that one of these stretches meets; no row when none does.
SELECT day
FROM retired_days
JOIN unnest(%(firsts)s::bigint[], %(pasts)s::bigint[]) AS stretch (first, past)
    ON day >= (from_micros(first) AT TIME ZONE 'UTC')::date
    AND day <= (from_micros(past - 1) AT TIME ZONE 'UTC')::date
ORDER BY day
LIMIT 1

-- name: log
-- The rollups have yet to take in what changed in these stretches.
INSERT INTO rollup_log (stream, devices, first, past)
SELECT %(stream)s, ARRAY[%(device)s], from_micros(first), from_micros(past)
FROM unnest(%(firsts)s::bigint[], %(pasts)s::bigint[]) AS stretch (first, past)

-- name: forget_stretches
-- Those of sent readings of [first, past).
DELETE FROM corrected_stretches
WHERE stream = %(stream)s AND device_id = %(device)s
    AND first >= from_micros(%(first)s) AND first < from_micros(%(past)s)

-- name: keep_stretches
-- Of sent readings: moved by so many microseconds, or out where that is null.
INSERT INTO corrected_stretches (stream, device_id, first, past, moved_by, rank)
SELECT %(stream)s, %(device)s, from_micros(first), from_micros(past),
    moved_by * interval '1 microsecond', rank
FROM unnest(%(firsts)s::bigint[], %(pasts)s::bigint[], %(moved_by)s::bigint[], %(ranks)s::bigint[])
    AS piece (first, past, moved_by, rank)

-- fragment: pieces
-- Readings that were sent, where `of` is 0, or that this correction brought in, with a time in [first,
-- past): they are moved by so many microseconds. `was` and `out_by` say how it was before.
SELECT *
FROM unnest(%(ofs)s::bigint[], %(firsts)s::bigint[], %(pasts)s::bigint[], %(moved_by)s::bigint[],
    %(was)s::bigint[], %(out_by)s::bigint[]) AS piece (of, first, past, moved_by, was, out_by)

-- fragment: readings_of_pieces
-- Each with the time it came with; once, though pieces may be parts of each other.
SELECT came, moved_by, was, out_by
FROM (
    -- include: pieces
) AS piece
CROSS JOIN LATERAL (
    SELECT "timestamp" AS came
    FROM {history}
    WHERE {id} = %(device)s
        AND "timestamp" >= from_micros(piece.first) AND "timestamp" < from_micros(piece.past)
) AS sent
WHERE piece.of = 0
UNION
SELECT "timestamp", moved_by, was, out_by
FROM (
    -- include: pieces
) AS piece
JOIN corrections ON corrections.number = piece.of
CROSS JOIN jsonb_populate_recordset(NULL::{name}_corrected_readings, readings) AS brought_in
WHERE "timestamp" >= from_micros(piece.first) AND "timestamp" < from_micros(piece.past)

-- fragment: gather_pieces
-- For sql/gathered.py: the sent readings of these pieces.
INSERT INTO {gathered} ({columns})
SELECT {columns}
FROM {history}
JOIN (
    -- include: pieces
) AS piece ON "timestamp" >= from_micros(first) AND "timestamp" < from_micros(past)
WHERE {id} = %(device)s AND piece.of = 0
ON CONFLICT DO NOTHING

-- name: gather_meter
-- include: gather_pieces of meter

-- name: gather_vehicle
-- include: gather_pieces of vehicle

-- name: meter_first
-- The first instant where a reading of these pieces stands now; null when none does.
SELECT min(came + moved_by * interval '1 microsecond') AS at
FROM (
    -- include: readings_of_pieces of meter
) AS reading

-- name: vehicle_first
SELECT min(came + moved_by * interval '1 microsecond') AS at
FROM (
    -- include: readings_of_pieces of vehicle
) AS reading

-- name: meter_taken
-- The first instant where readings of these pieces meet that were not together before; null when there
-- is none.
SELECT min(at) AS at
FROM (
    SELECT came + moved_by * interval '1 microsecond' AS at
    FROM (
        -- include: readings_of_pieces of meter
    ) AS reading
    GROUP BY 1
    HAVING count(DISTINCT (out_by, came + was * interval '1 microsecond')) > 1) AS meeting

-- name: vehicle_taken
SELECT min(at) AS at
FROM (
    SELECT came + moved_by * interval '1 microsecond' AS at
    FROM (
        -- include: readings_of_pieces of vehicle
    ) AS reading
    GROUP BY 1
    HAVING count(DISTINCT (out_by, came + was * interval '1 microsecond')) > 1) AS meeting

-- name: meter_forget
-- The readings that were brought in and stand in [first, past).
DELETE FROM meter_corrected_readings
WHERE meter_id = %(device)s
    AND "timestamp" >= from_micros(%(first)s) AND "timestamp" < from_micros(%(past)s)

-- name: vehicle_forget
DELETE FROM vehicle_corrected_readings
WHERE vehicle_id = %(device)s
    AND "timestamp" >= from_micros(%(first)s) AND "timestamp" < from_micros(%(past)s)

-- fragment: bring_in
-- The readings of pieces of corrections, where they stand now. Those of retired days are gone.
INSERT INTO {name}_corrected_readings ({values}, "timestamp", {id}, rank)
SELECT {values}, "timestamp" + moved_by * interval '1 microsecond', %(device)s, piece.rank
FROM unnest(%(ofs)s::bigint[], %(firsts)s::bigint[], %(pasts)s::bigint[], %(moved_by)s::bigint[],
    %(ranks)s::bigint[]) AS piece (of, first, past, moved_by, rank)
JOIN corrections ON corrections.number = piece.of
CROSS JOIN LATERAL (
    SELECT {values}, "timestamp"
    FROM jsonb_populate_recordset(NULL::{name}_corrected_readings, readings)) AS reading
WHERE "timestamp" >= from_micros(piece.first) AND "timestamp" < from_micros(piece.past)
    AND NOT EXISTS (
        SELECT 1 FROM retired_days
        WHERE history = '{name}_telemetry_history' AND announced IS NULL AND day =
            (("timestamp" + moved_by * interval '1 microsecond') AT TIME ZONE 'UTC')::date)

-- name: meter_bring_in
-- include: bring_in of meter

-- name: vehicle_bring_in
-- include: bring_in of vehicle
