-- Where each consumer group stands in each partition, and its books: what became of all it read.

-- name: insert_missing
-- A partition that was never read starts at its log's start.
INSERT INTO ingest_offsets (group_id, topic, partition, next_offset)
VALUES (%(group_id)s, %(topic)s, %(partition)s, %(next_offset)s)
ON CONFLICT DO NOTHING

-- name: lock
-- Every writer locks its positions first and in this order.
SELECT topic, partition, next_offset, last_offset, last_record_ms, stopped,
       claim_overridden::text
FROM ingest_offsets
WHERE group_id = %(group_id)s
  AND (topic, partition) IN (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[]))
ORDER BY topic, partition
FOR UPDATE

-- name: select_positions
SELECT topic, partition, next_offset, stopped
FROM ingest_offsets
WHERE group_id = %(group_id)s
  AND (topic, partition) IN (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[]))

-- name: lock_all
-- Until the transaction ends no other moves a position; waits for those that did to commit, on Citus'
-- nodes, too: the rows themselves are free before that.
LOCK TABLE ingest_offsets IN SHARE MODE

-- name: prepared
-- How many transactions Citus has yet to end on a node. A node that does not answer is an error.
SELECT sum(CASE WHEN success THEN result ELSE raise_not_answered(nodeid, result)::text END::integer)
FROM run_command_on_all_nodes($$
    SELECT count(*) FROM pg_prepared_xacts
    WHERE starts_with(gid, 'citus_') AND database = current_database() $$)

-- name: one_connection_a_node
-- In this transaction each node is asked by one connection, which sees one snapshot.
SET LOCAL citus.max_adaptive_executor_pool_size = 1

-- name: look
-- Asks every node.
SELECT 1 FROM {live} LIMIT 1

-- name: end_lock_holders
-- End the workers' backends that have held one of these positions longer than a lock is waited
-- for: the owner before us, frozen with its transaction open. Returns their process ids.
-- MATERIALIZED: nothing may be ended before all conditions are known to hold.
WITH holders AS MATERIALIZED (
    SELECT pid
    FROM pg_stat_activity
    WHERE backend_xid IN (
            SELECT xmax FROM ingest_offsets
            WHERE group_id = %(group_id)s
              AND (topic, partition)
                  IN (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[])))
      AND application_name = %(application_name)s
      AND xact_start < now() - %(held_longer_than)s::interval
      AND pid <> pg_backend_pid()
)
SELECT pid FROM holders WHERE pg_terminate_backend(pid)

-- name: advance
-- Compare and set: a row whose position is no longer the expected one is not touched.
UPDATE ingest_offsets AS held
SET next_offset = moved.next_offset,
    last_offset = moved.last_offset,
    last_record_ms = moved.last_record_ms,
    read = held.read + moved.stored + moved.duplicate + moved.rejected,
    stored = held.stored + moved.stored,
    duplicate = held.duplicate + moved.duplicate,
    rejected = held.rejected + moved.rejected,
    updated_at = now()
FROM unnest(
        %(topics)s::text[], %(partitions)s::int[], %(expected)s::int8[], %(next_offsets)s::int8[],
        %(last_offsets)s::int8[], %(last_record_ms)s::int8[],
        %(stored)s::int8[], %(duplicate)s::int8[], %(rejected)s::int8[])
    AS moved (topic, partition, expected, next_offset, last_offset, last_record_ms,
              stored, duplicate, rejected)
WHERE held.group_id = %(group_id)s
  AND held.topic = moved.topic
  AND held.partition = moved.partition
  AND held.next_offset = moved.expected

-- name: pass_over
-- Past offsets that hold no records; compare and set, and the last record stays what it was.
UPDATE ingest_offsets
SET next_offset = %(next_offset)s, updated_at = now()
WHERE group_id = %(group_id)s AND topic = %(topic)s AND partition = %(partition)s
  AND next_offset = %(expected)s

-- name: stop
-- Note why a partition cannot be read, for operators, and which other database claims it, if one does.
UPDATE ingest_offsets
SET stopped = %(stopped)s, claimed_by = %(claimed_by)s, updated_at = now()
WHERE group_id = %(group_id)s AND topic = %(topic)s AND partition = %(partition)s
  AND next_offset = %(next_offset)s

-- name: forget_override
-- Our own claim stands where another database's was: from here on that would be a new one.
UPDATE ingest_offsets
SET claim_overridden = NULL
WHERE group_id = %(group_id)s AND topic = %(topic)s AND partition = %(partition)s

-- name: identity
-- Which database this is; a copy of it is the same one.
SELECT id::text FROM database_identity

-- name: list
SELECT group_id, topic, partition, next_offset, read, stored, duplicate, rejected, stopped,
       updated_at
FROM ingest_offsets
ORDER BY group_id, topic, partition

-- name: set
-- The last record is forgotten: the new position has nothing to do with it. Another database's
-- claim, for which the partition was stopped, is overridden.
INSERT INTO ingest_offsets AS held (group_id, topic, partition, next_offset)
VALUES (%(group_id)s, %(topic)s, %(partition)s, %(next_offset)s)
ON CONFLICT (group_id, topic, partition) DO UPDATE
SET next_offset = EXCLUDED.next_offset, last_offset = NULL, last_record_ms = NULL, stopped = NULL,
    claim_overridden = coalesce(held.claimed_by, held.claim_overridden), claimed_by = NULL,
    updated_at = now()

-- name: record_change
INSERT INTO position_changes (group_id, topic, partition, from_offset, to_offset, forced, changed_by)
VALUES (%(group_id)s, %(topic)s, %(partition)s, %(from_offset)s, %(next_offset)s, %(forced)s,
        %(changed_by)s)

-- name: count_kept
-- What the books call stored and rejected, counted in the tables; but for the rows of history.
SELECT (SELECT coalesce(sum(rows), 0)::bigint FROM retired_days)
       + (SELECT count(*) FROM session_events) AS stored,
       (SELECT count(*) FROM rejected_records WHERE resolved_at IS NULL)
       + (SELECT coalesce(sum(readings), 0)::bigint FROM rejected_overflow) AS rejected

-- name: read_until
-- Up to which of Kafka's own times each partition has been read.
SELECT topic, partition, next_offset, last_record_ms
FROM ingest_offsets
WHERE group_id = %(group_id)s
