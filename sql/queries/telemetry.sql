-- The books of ingestion, as the HTTP API shows them.

-- name: books
-- One row for each (topic, partition) the group keeps a position of.
SELECT topic, partition, next_offset, last_record_ms, read, stored, duplicate, rejected
FROM ingest_offsets
WHERE group_id = %(group_id)s AND topic = ANY(%(topics)s)

-- name: rejected_by_reason
-- Rejected readings nobody has resolved yet, those that were only counted included.
SELECT topic, reason, sum(readings)::bigint AS readings
FROM (
    SELECT topic, reason, count(*) AS readings
    FROM rejected_records
    WHERE group_id = %(group_id)s AND topic = ANY(%(topics)s) AND resolved_at IS NULL
    GROUP BY topic, reason
    UNION ALL
    SELECT topic, reason, readings
    FROM rejected_overflow
    WHERE group_id = %(group_id)s AND topic = ANY(%(topics)s)) AS rejected
GROUP BY topic, reason
