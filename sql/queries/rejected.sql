-- The quarantine: rejected readings, found, read and resolved when a replay stores them.

-- fragment: rejected_columns
id, topic, partition, "offset", record_index, device_id, reading_at, reason, detail,
CASE WHEN raw IS NOT NULL THEN coalesce(raw_bytes, octet_length(raw)) END AS raw_bytes, rejected_at, resolved_at, resolved_by, changed, outcome

-- fragment: rejected_filters
-- Each filter is off when it is null.
AND (%(reason)s::text IS NULL OR reason = %(reason)s)
AND (%(topic)s::text IS NULL OR topic = %(topic)s)
AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
AND (%(since)s::timestamptz IS NULL OR rejected_at >= %(since)s)
AND (%(until)s::timestamptz IS NULL OR rejected_at < %(until)s)

-- name: insert
-- One row a rejected reading; one that is here already is not inserted again. What was repaired has
-- an outcome, and is resolved, also where it is here since nothing was repaired yet. Returns where those that were new and are not resolved came from.
WITH kept AS (
INSERT INTO rejected_records
    (group_id, topic, partition, "offset", record_index, record_ms, device_id, reason, detail, raw,
     raw_bytes, reading_at, same_energy, outcome, changed, resolved_at, resolved_by)
SELECT %(group_id)s, topic, partition, "offset", record_index, record_ms, device_id, reason, detail,
       raw, raw_bytes, from_micros(micros), same_energy, outcome, changed,
       CASE WHEN outcome IS NOT NULL THEN now() END,
       CASE WHEN outcome IS NOT NULL THEN 'SALVAGE_READINGS' END
FROM unnest(
    %(topics)s::text[], %(partitions)s::int[], %(offsets)s::int8[], %(record_indexes)s::int[],
    %(record_ms)s::int8[], %(device_ids)s::text[], %(reasons)s::text[], %(details)s::text[],
    %(raws)s::bytea[], %(raw_bytes)s::int8[], %(times)s::int8[], %(same_energy)s::bool[],
    %(outcomes)s::text[], %(changes)s::text[])
    AS rejected (topic, partition, "offset", record_index, record_ms, device_id, reason, detail,
                 raw, raw_bytes, micros, same_energy, outcome, changed)
ON CONFLICT ON CONSTRAINT rejected_once DO UPDATE
SET outcome = EXCLUDED.outcome, changed = EXCLUDED.changed, resolved_at = EXCLUDED.resolved_at,
    resolved_by = EXCLUDED.resolved_by
WHERE rejected_records.resolved_at IS NULL AND EXCLUDED.resolved_at IS NOT NULL
RETURNING topic, partition, resolved_at
)
SELECT topic, partition FROM kept WHERE resolved_at IS NULL

-- name: count_only
-- Counts rejected readings that there is no room for; those that are kept already are not counted.
-- Returns where those that were counted came from.
WITH rejected AS MATERIALIZED (
    SELECT *
    FROM unnest(
        %(topics)s::text[], %(partitions)s::int[], %(offsets)s::int8[], %(record_indexes)s::int[],
        %(record_ms)s::int8[], %(reasons)s::text[])
        AS read (topic, partition, "offset", record_index, record_ms, reason)
    WHERE NOT EXISTS (
        SELECT
        FROM rejected_records AS kept
        WHERE (kept.topic, kept.partition, kept."offset", kept.record_ms)
            = (read.topic, read.partition, read."offset", read.record_ms)
          AND kept.record_index IS NOT DISTINCT FROM read.record_index)
), counted AS (
    INSERT INTO rejected_overflow AS overflow
        (group_id, topic, partition, reason, readings, first_offset, last_offset)
    SELECT %(group_id)s, topic, partition, reason, count(*), min("offset"), max("offset")
    FROM rejected
    GROUP BY topic, partition, reason
    ON CONFLICT (group_id, topic, partition, reason) DO UPDATE
    SET readings = overflow.readings + EXCLUDED.readings,
        first_offset = least(overflow.first_offset, EXCLUDED.first_offset),
        last_offset = greatest(overflow.last_offset, EXCLUDED.last_offset),
        last_at = now()
)
SELECT topic, partition FROM rejected

-- name: overflow
-- What was rejected and only counted.
SELECT topic, partition, reason, sum(readings)::bigint AS readings,
       min(first_offset) AS first_offset, max(last_offset) AS last_offset, max(last_at) AS last_at
FROM rejected_overflow
GROUP BY topic, partition, reason
ORDER BY topic, partition, reason

-- name: size
-- Bytes on disk, indexes and large values included.
SELECT pg_total_relation_size('rejected_records')

-- name: page
-- Newest first, from below the id `after` when it is given.
SELECT
    -- include: rejected_columns
FROM rejected_records
WHERE (%(after)s::bigint IS NULL OR id < %(after)s)
  AND (%(resolved)s::boolean IS NULL OR (resolved_at IS NOT NULL) = %(resolved)s)
  -- include: rejected_filters
ORDER BY id DESC
LIMIT %(limit)s

-- name: groups
-- One row for each topic, device and reason with a rejected reading, those with the newest first, from
-- below the id `after` when it is given. They are counted from the index rejected_records_groups
-- alone. `replayable`: a reading of them is not resolved, and a replay may find it valid by now. Of the
-- `topics` that can be replayed the `reading_topics` hold readings: what one is in conflict with stays.
SELECT grouped.*, oldest.rejected_at AS first_at, latest.rejected_at AS last_at
FROM (
    SELECT topic, device_id, reason, count(*) AS count, min(id) AS oldest_id, max(id) AS latest_id,
        bool_or(resolved_at IS NULL AND topic = ANY(%(topics)s) AND CASE reason
            WHEN 'in_future' THEN coalesce(reading_at <= from_micros(%(newest)s), true)
            WHEN 'too_old' THEN coalesce(reading_at >= from_micros(%(oldest)s), true)
            WHEN 'conflict' THEN topic <> ALL(%(reading_topics)s)
            ELSE reason IN ('invalid', 'refused') END) AS replayable
    FROM rejected_records
    WHERE (%(resolved)s::boolean IS NULL OR (resolved_at IS NOT NULL) = %(resolved)s)
      AND (%(topic)s::text IS NULL OR topic = %(topic)s)
      AND (%(device_id)s::text IS NULL OR device_id = %(device_id)s)
      AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    GROUP BY topic, device_id, reason
    HAVING %(after)s::bigint IS NULL OR max(id) < %(after)s
    ORDER BY max(id) DESC
    LIMIT %(limit)s) AS grouped
JOIN rejected_records AS oldest ON oldest.id = oldest_id
JOIN rejected_records AS latest ON latest.id = latest_id
ORDER BY latest_id DESC

-- name: show
SELECT * FROM rejected_records WHERE id = %(id)s

-- name: select_open
-- The ids of the unresolved ones that match, oldest first.
SELECT id
FROM rejected_records
WHERE resolved_at IS NULL
  -- include: rejected_filters
ORDER BY id

-- name: lock
-- The position's row is locked first, as in every flush: so the two cannot deadlock, and replays of
-- one reading come one after the other.
SELECT true
FROM ingest_offsets AS held
JOIN rejected_records AS rejected USING (group_id, topic, partition)
WHERE rejected.id = %(id)s
FOR UPDATE OF held

-- name: select_one
-- Read after the lock: what another replay has just resolved is seen.
SELECT topic, record_index, raw, raw_bytes > octet_length(raw) AS cut, resolved_at, outcome
FROM rejected_records
WHERE id = %(id)s

-- name: resolve
UPDATE rejected_records
SET resolved_at = now(), resolved_by = %(resolved_by)s, outcome = %(outcome)s, changed = %(changed)s
WHERE id = %(id)s

-- name: move_books
-- A resolved reading is no longer rejected, but what it became.
UPDATE ingest_offsets AS held
SET rejected = held.rejected - 1,
    stored = held.stored + CASE rejected.outcome WHEN 'stored' THEN 1 ELSE 0 END,
    duplicate = held.duplicate + CASE rejected.outcome WHEN 'duplicate' THEN 1 ELSE 0 END
FROM rejected_records AS rejected
WHERE rejected.id = %(id)s
  AND (held.group_id, held.topic, held.partition)
    = (rejected.group_id, rejected.topic, rejected.partition)

-- name: detail
-- With the first `shown` bytes that were kept, and how many were.
SELECT substring(raw FROM 1 FOR %(shown)s) AS raw, octet_length(raw) AS kept_bytes,
    -- include: rejected_columns
FROM rejected_records
WHERE id = %(id)s

-- name: raw_piece
-- The bytes that were kept, from `start` (the first is 1): null when none were, empty at their end.
SELECT substring(raw FROM %(start)s FOR %(bytes)s) AS piece
FROM rejected_records
WHERE id = %(id)s
