-- Retiring the day partitions of the history tables, each step so that it can be taken up again.

-- name: list
-- The day partitions of a history table, and whether an interrupted DETACH left them in between.
-- One that is no longer attached (detached, not yet dropped) has a null `pending`.
SELECT day.relname AS name, to_date(right(day.relname, 10), 'YYYY_MM_DD') AS day,
       link.inhdetachpending AS pending
FROM pg_class AS day
LEFT JOIN pg_inherits AS link ON link.inhrelid = day.oid
WHERE day.relkind = 'r'
  AND day.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = %(history)s::regclass)
  AND day.relname ~ ('^' || %(history)s || '_\d{4}_\d\d_\d\d$')
ORDER BY day.relname

-- name: detach
-- Lets COPY and queries go on; must stand outside a transaction.
ALTER TABLE {history} DETACH PARTITION {partition} CONCURRENTLY

-- name: finalize
-- Ends what an interrupted DETACH CONCURRENTLY left pending: it blocks the next one.
ALTER TABLE {history} DETACH PARTITION {partition} FINALIZE

-- name: lock
-- Waits for the last COPY into the partition; its rows are counted too.
LOCK TABLE {partition} IN ACCESS EXCLUSIVE MODE

-- name: count
SELECT count(*) FROM {partition}

-- name: announce
-- The day's readings are about to go: nothing computed from them may be computed again.
INSERT INTO retired_days (history, day, rows) VALUES (%(history)s, %(day)s, 0)
ON CONFLICT (history, day) DO NOTHING

-- name: note
INSERT INTO retired_days AS retired (history, day, rows)
VALUES (%(history)s, %(day)s, %(rows)s)
ON CONFLICT (history, day) DO UPDATE
SET rows = retired.rows + EXCLUDED.rows, retired_at = now()

-- name: drop
DROP TABLE {partition}


-- name: next_to_pack
-- The oldest day before `before` that has grown by less than a hundredth since it was last asked
-- for, and whose key was never packed or is by a third larger than it was then; an hour after a
-- try at the earliest. Notes how large all days are now.
WITH days AS (
    SELECT day.relname AS partition, to_date(right(day.relname, 10), 'YYYY_MM_DD') AS day,
        key.relname AS key, pg_relation_size(key.oid) AS key_bytes, n_tup_ins AS inserted
    FROM pg_inherits AS link
    JOIN pg_class AS day ON day.oid = link.inhrelid
    JOIN pg_stat_user_tables AS stat ON stat.relid = day.oid
    JOIN pg_index ON pg_index.indrelid = day.oid AND pg_index.indisprimary
    JOIN pg_class AS key ON key.oid = pg_index.indexrelid
    WHERE link.inhparent = %(history)s::text::regclass AND NOT link.inhdetachpending
        AND right(day.relname, 10) < to_char(%(before)s::date, 'YYYY_MM_DD')
),
grown AS (
    INSERT INTO packed_days AS known (history, day, inserted)
    SELECT %(history)s, day, inserted FROM days
    ON CONFLICT (history, day) DO UPDATE SET inserted = EXCLUDED.inserted
    WHERE abs(EXCLUDED.inserted - known.inserted) > EXCLUDED.inserted / 100
    RETURNING day
)
SELECT partition, day, key
FROM days
JOIN packed_days AS known USING (day)
WHERE history = %(history)s AND day NOT IN (SELECT day FROM grown)
    AND coalesce(tried_at < now() - interval '1 hour', true)
    AND coalesce(days.key_bytes > known.key_bytes * 4 / 3, true)
ORDER BY day
LIMIT 1

-- name: note_try
UPDATE packed_days SET tried_at = now() WHERE history = %(history)s AND day = %(day)s

-- name: half_built
-- Indexes of a partition that an interrupted REINDEX CONCURRENTLY left behind.
SELECT relname FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid = %(partition)s::text::regclass AND NOT indisvalid

-- name: drop_half_built
DROP INDEX CONCURRENTLY {index}

-- name: pack
-- Lets COPY and queries go on; must stand outside a transaction.
REINDEX INDEX CONCURRENTLY {key}

-- name: vacuum
-- Marks every page as visible to all: index-only scans then need no look at the table.
VACUUM {partition}

-- name: note_packed
UPDATE packed_days SET key_bytes = pg_relation_size(%(key)s::text::regclass)
WHERE history = %(history)s AND day = %(day)s
RETURNING key_bytes
