-- The day partitions of the history tables: making, retiring and packing them. Each step of retiring
-- is such that it can be taken up again.

-- name: ensure
-- Finds or makes the partition that takes a day's rows: its schema, its name, and what it was.
SELECT space, partition, how FROM ensure_day_partition(%(history)s, %(day)s)

-- name: find
-- Which of these days have a partition of the usual name, and its schema.
SELECT wanted.day, part.space, part.name
FROM unnest(%(days)s::date[]) AS wanted (day),
    history_partitions(%(history)s, %(history)s || to_char(wanted.day, '_YYYY_MM_DD')) AS part
WHERE NOT pending
    AND first <= wanted.day::timestamp AT TIME ZONE 'UTC'
    AND past >= (wanted.day + 1)::timestamp AT TIME ZONE 'UTC'

-- name: gone
-- Which of these tables are no partitions of the history table any more.
SELECT name
FROM unnest(%(names)s::text[]) AS used (name)
WHERE NOT EXISTS (
    SELECT FROM pg_inherits
    WHERE inhrelid = to_regclass(name) AND inhparent = %(history)s::text::regclass
        AND NOT inhdetachpending)

-- name: hurry
-- In this transaction, neither waits for a lock nor a statement take longer; not on Citus' nodes
-- either, which are told by SET alone.
SET LOCAL citus.propagate_set_commands = 'local';
SET LOCAL lock_timeout = {lock_timeout};
SET LOCAL statement_timeout = {statement_timeout}

-- name: lockers
-- Who holds what keeps a history table from getting a partition, longest first: process id,
-- application, since when, and the statement, as far as we may see them.
SELECT pid, application_name,
    to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), left(query, 200)
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND pid IN (
    SELECT pid FROM pg_locks
    JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
    WHERE granted AND (
        relation = %(history)s::text::regclass
            AND mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
        OR relation IN (
            SELECT partdefid FROM pg_partitioned_table
            WHERE partrelid = %(history)s::text::regclass AND partdefid <> 0)))
ORDER BY xact_start

-- name: locked
-- Which tables beside the history table somebody has locked against writing, or waits to: the name of
-- each, and then who it is, as above.
SELECT relname, pid, application_name,
    to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), left(query, 200)
FROM pg_locks
JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
JOIN pg_class ON pg_class.oid = relation AND relkind IN ('r', 'p')
JOIN pg_stat_activity AS activity USING (pid)
WHERE pid <> pg_backend_pid()
    AND (granted AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock')
        OR mode = 'AccessExclusiveLock')
    AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %(history)s::text::regclass)
ORDER BY granted DESC, xact_start

-- name: list
-- The partitions of a history table, by time: state 'attached' or, after an interrupted DETACH,
-- 'pending'. And the tables beside it that have the name of one of its days: state 'detached'.
-- `day` is null for what is attached and takes no single day; `past` is where that ends, null for the
-- DEFAULT partition.
-- `announced`: retired_days says that this very table is on its way out.
SELECT found.space, found.name, found.day, found.past, state,
    EXISTS (SELECT FROM retired_days WHERE announced = found.id) AS announced
FROM (
    SELECT id, space, name, day,
        CASE WHEN past IS NOT NULL THEN least(past, '9999-01-01Z') END AS past,
        CASE WHEN pending THEN 'pending' ELSE 'attached' END AS state
    FROM history_partitions(%(history)s)
    UNION ALL
    SELECT beside.oid, nspname, relname, day_in_name(%(history)s, relname), NULL, 'detached'
    FROM pg_class AS beside
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND NOT relispartition
        AND day_in_name(%(history)s, relname) IS NOT NULL
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %(history)s::text::regclass)
) AS found
ORDER BY day, name

-- name: detach
-- Lets COPY and queries go on; must stand outside a transaction.
ALTER TABLE {history} DETACH PARTITION {partition} CONCURRENTLY

-- name: may_detach
-- Whether we own a history table: only its owner may detach CONCURRENTLY, and nobody where it is
-- distributed.
SELECT pg_has_role(relowner, 'USAGE') AND NOT is_distributed(oid)
FROM pg_class WHERE oid = %(history)s::text::regclass

-- name: detach_at_once
-- For others than the owner; and PostgreSQL knows no other way while there is a DEFAULT partition. It
-- blocks everybody for as long as it waits, so that it should not wait for long. Ends what an
-- interrupted DETACH CONCURRENTLY left pending, too, which blocks the next one.
SELECT detach_day(%(history)s, %(partition)s::text::regclass)

-- name: count
SELECT count(*) FROM {partition}

-- name: announce
-- The day's readings are about to go: nothing computed from them may be computed again.
INSERT INTO retired_days (history, day, rows, announced)
VALUES (%(history)s, %(day)s, 0, %(partition)s::text::regclass)
ON CONFLICT (history, day) DO UPDATE SET announced = EXCLUDED.announced

-- name: withdraw
-- The day stays, or is back: what was announced is not true any more.
WITH whole AS (
    DELETE FROM retired_days WHERE history = %(history)s AND day = %(day)s AND rows = 0
)
UPDATE retired_days SET announced = NULL WHERE history = %(history)s AND day = %(day)s AND rows > 0

-- name: vehicles
-- All vehicles that may have readings or sessions.
SELECT array_agg(vehicle_id)
FROM (SELECT vehicle_id FROM vehicle_live_state UNION SELECT vehicle_id FROM charging_sessions) AS v

-- name: log_day
-- While it was announced, nothing was computed from the day's readings: that is to be made up for.
-- Where the vehicles come from nodes, Citus would want a right on the sequence of the log's ids.
INSERT INTO rollup_log (stream, devices, first, past)
SELECT 'vehicle', %(vehicles)s::text[],
    day AT TIME ZONE 'UTC', (day + interval '1 day') AT TIME ZONE 'UTC'
FROM CAST(%(day)s::date AS timestamp) AS day
WHERE %(vehicles)s::text[] IS NOT NULL

-- name: drop
-- Waits for the last COPY into the table; returns how many rows it had, which retired_days keeps.
SELECT drop_day(%(history)s, %(partition)s::text::regclass, %(day)s)

-- name: may_pack
-- Whether we may rebuild indexes of a history table: it is ours, or we have MAINTAIN on it, which
-- PostgreSQL knows from 17 on.
SELECT pg_has_role(relowner, 'USAGE')
    OR CASE WHEN current_setting('server_version_num')::int >= 170000
        THEN has_table_privilege(oid, 'MAINTAIN') ELSE false END
FROM pg_class WHERE oid = %(history)s::text::regclass

-- name: next_to_pack
-- The oldest day before `before` that has grown by less than a hundredth since it was last asked
-- for, and whose key was never packed or is by a third larger than it was then; an hour after a
-- try at the earliest. Notes how large all days are now.
WITH days AS (
    SELECT part.space, part.name AS partition, part.day,
        key.relname AS key, key_bytes, inserted
    FROM history_partitions(%(history)s) AS part
    JOIN day_sizes(%(history)s) AS size USING (id)
    JOIN pg_index ON pg_index.indrelid = part.id AND pg_index.indisprimary
    JOIN pg_class AS key ON key.oid = pg_index.indexrelid AND key.relkind = 'i'
    WHERE NOT part.pending AND part.day < %(before)s::date
),
grown AS (
    INSERT INTO packed_days AS known (history, day, inserted)
    SELECT %(history)s, day, inserted FROM days
    ON CONFLICT (history, day) DO UPDATE SET inserted = EXCLUDED.inserted
    WHERE abs(EXCLUDED.inserted - known.inserted) > EXCLUDED.inserted / 100
    RETURNING day
)
SELECT space, partition, day, key
FROM days
JOIN packed_days AS known USING (day)
WHERE history = %(history)s AND day NOT IN (SELECT day FROM grown)
    AND coalesce(tried_at < now() - interval '1 hour', true)
    AND coalesce(days.key_bytes > known.key_bytes * 4 / 3, true)
ORDER BY day
LIMIT 1

-- name: note_try
UPDATE packed_days SET tried_at = now() WHERE history = %(history)s AND day = %(day)s

-- name: drop_half_built
-- Drops the indexes of a partition that an interrupted REINDEX CONCURRENTLY left behind.
SELECT drop_half_built(%(history)s, %(partition)s::text::regclass)

-- name: pack
-- Lets COPY and queries go on; must stand outside a transaction.
REINDEX INDEX CONCURRENTLY {key}

-- name: vacuum
-- Marks every page as visible to all: index-only scans then need no look at the table.
VACUUM {partition}

-- name: note_packed
UPDATE packed_days SET key_bytes = size.key_bytes, failed = NULL
FROM day_sizes(%(history)s) AS size
WHERE history = %(history)s AND day = %(day)s AND size.id = %(partition)s::text::regclass
RETURNING packed_days.key_bytes

-- name: note_failed
UPDATE packed_days SET failed = %(why)s WHERE history = %(history)s AND day = %(day)s

-- name: failed
-- The days there are that could not be packed when they were last tried, and why.
SELECT day, failed FROM packed_days
WHERE history = %(history)s AND failed IS NOT NULL
    AND day IN (SELECT day FROM history_partitions(%(history)s))
ORDER BY day
