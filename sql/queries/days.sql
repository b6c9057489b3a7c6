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
