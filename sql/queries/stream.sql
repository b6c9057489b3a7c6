-- What is done with the readings of one stream: staged or straight into history, then live state;
-- and read again. A template: words in braces stand for the stream's tables and columns.
-- {columns} are those of a row, in its order; {values} are those that are neither time nor id.

-- name: create_staging
-- {staged}: rows that may be stored already; `seq` is the order of arrival.
-- {newest}: the newest of each device, on its way into live state.
CREATE TEMP TABLE {staged} (
    seq integer NOT NULL,
    {definitions}
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE {newest} (
    {definitions}
) ON COMMIT DELETE ROWS

-- name: empty_staging
TRUNCATE {staged}, {newest}

-- name: copy_staged
COPY {staged} FROM STDIN (FORMAT binary)

-- name: copy_history
-- Straight into one day partition: routing through the parent costs a twentieth of the rate.
COPY {{day_partition}} ({columns}) FROM STDIN (FORMAT binary)

-- name: insert_staged
-- Of several rows with one key the first to arrive stays. Returns the keys that were new.
INSERT INTO {history} ({columns})
SELECT {columns}
FROM {staged}
ORDER BY {id}, "timestamp", seq
ON CONFLICT DO NOTHING
RETURNING {id}, "timestamp"

-- name: select_conflicts
-- The staged rows that differ from the stored row of their key, with what is stored; NULL equals
-- NULL. And those of whose key nothing is stored: then `kept` is null.
-- LIMIT 1 keeps the planner to one look into the key a staged row: it knows nothing of how many there
-- are, and would rather read history whole. The bounds are those of the staged rows. The rest of the
-- form is what Citus can plan: each node looks up all staged rows.
WITH staged AS MATERIALIZED (SELECT * FROM {staged}),
stored AS MATERIALIZED (
    SELECT staged.seq, found.*
    FROM staged
    CROSS JOIN LATERAL (
        SELECT {values}
        FROM {history} AS history
        WHERE history.{id} = staged.{id} AND history."timestamp" = staged."timestamp"
            AND history."timestamp" BETWEEN from_micros(%s) AND from_micros(%s)
        LIMIT 1) AS found
    LIMIT ALL
)
SELECT staged.seq, stored.seq AS kept, {stored_values}
FROM staged
LEFT JOIN stored USING (seq)
WHERE stored.seq IS NULL OR ROW({stored_values}) IS DISTINCT FROM ROW({staged_values})

-- name: try_each
-- Stores each staged row by itself and takes it back at once. Returns the places of those that
-- failed, with the SQLSTATE, the beginning of the message and the constraint that was violated.
SELECT seq, state, left(message, 1000), violated FROM try_each_row('{staged}', $store_one$
    WITH stored AS (
        INSERT INTO {history} ({columns})
        SELECT {columns} FROM {staged} WHERE ctid = $1
        ON CONFLICT DO NOTHING
        RETURNING {columns}
    )
    INSERT INTO {live} AS live ({columns})
    SELECT {columns} FROM stored
    ON CONFLICT ({id}) DO UPDATE
    SET {changes}
    WHERE live."timestamp" < EXCLUDED."timestamp"
        OR (live."timestamp" > now() AND EXCLUDED."timestamp" <= now())
$store_one$)

-- name: try_each_alone
-- The same where rows go to nodes: each is sent to its own by itself, so that the SQLSTATE is the node's;
-- the constraint is not known then.
SELECT seq, state, left(message, 1000), violated FROM try_each_row('{staged}', $store_one$
    SELECT write_alone('{staged}', $1, '{texts}', ARRAY[
        $history$ INSERT INTO {history} ({columns}) VALUES ({literals}) ON CONFLICT DO NOTHING $history$,
        $live$ INSERT INTO {live} ({columns}) VALUES ({literals})
            ON CONFLICT ({id}) DO UPDATE SET {changes} $live$])
$store_one$)

-- name: select_newest
-- The newest stored time of each of these devices that was ever heard of.
SELECT {id}, greatest("timestamp", newest_at) FROM {live} WHERE {id} = ANY (%s)

-- name: copy_newest
COPY {newest} FROM STDIN (FORMAT binary)

-- name: upsert_live
-- Rows come in key order, so that workers cannot deadlock. Older readings change nothing; but a time
-- in the future yields to one that is not, and stays known as the newest. Returns of how many devices
-- no newer time was stored before.
WITH moved AS (
    INSERT INTO {live} AS live ({columns}, updated_at)
    SELECT {columns}, now()
    FROM {newest}
    ON CONFLICT ({id}) DO UPDATE
    SET {changes}, updated_at = EXCLUDED.updated_at, newest_at = nullif(
        greatest(live.newest_at, live."timestamp", EXCLUDED."timestamp"), EXCLUDED."timestamp")
    WHERE live."timestamp" < EXCLUDED."timestamp"
        OR (live."timestamp" > EXCLUDED.updated_at AND EXCLUDED."timestamp" <= EXCLUDED.updated_at)
    RETURNING newest_at
)
SELECT count(*) FROM moved WHERE newest_at IS NULL

-- name: overtaken
-- The devices of which a newer time was stored before; live state has been moved.
WITH row AS MATERIALIZED (SELECT {id}, "timestamp" FROM {newest})
SELECT {id}
FROM row
JOIN {live} AS live USING ({id})
WHERE live.newest_at IS NOT NULL OR live."timestamp" <> row."timestamp"

-- name: count_history
SELECT count(*) AS rows FROM {history}

-- name: is_known
-- Whether the device is registered or was ever heard of.
SELECT {registered} OR EXISTS (SELECT 1 FROM {live} WHERE {id} = %(id)s) AS known

-- name: beyond_limit
-- The time of the first reading that lies beyond the first `limit`; no row when none does. Here and
-- below, parameters stand right beside "timestamp", so that only the window's days are touched.
SELECT "timestamp"
FROM {history}
WHERE {id} = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
OFFSET %(limit)s
LIMIT 1

-- name: readings
-- The first `limit`, oldest first, by the names and in the order of a reading as sent.
SELECT {sent}
FROM {history}
WHERE {id} = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
LIMIT %(limit)s

-- name: is_corrected
-- A row when corrections of the device are in force.
SELECT FROM corrections
WHERE stream = '{name}' AND device_id = %(id)s AND undone_at IS NULL
LIMIT 1

-- name: corrected_until
-- Where the window ends before which there are about `most` readings as corrected, or its end if there
-- are fewer. Stretches of sent readings that are not out are counted one after the other, in the order
-- in which they begin, up to where the count is full.
WITH RECURSIVE stretch AS (
    SELECT first, past, moved_by
    FROM corrected_stretches
    WHERE stream = '{name}' AND device_id = %(id)s
        AND (first < %(end)s AND past > %(start)s
            OR first + moved_by < %(end)s AND past + moved_by > %(start)s)
),
piece AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY first + moved_by) AS place
    FROM (
        SELECT lower(gap) AS first, upper(gap) AS past, interval '0' AS moved_by
        FROM unnest(tstzmultirange(tstzrange(%(start)s, %(end)s)) - (
            SELECT coalesce(range_agg(tstzrange(first, past)), '{{}}') FROM stretch)) AS gap
        UNION ALL
        SELECT greatest(first, %(start)s - moved_by), past, moved_by
        FROM stretch
        WHERE first + moved_by < %(end)s AND past + moved_by > %(start)s) AS found
),
counted (place, room, until) AS (
    SELECT 0::bigint, %(most)s::bigint, least(%(end)s::timestamptz, (
        SELECT "timestamp"
        FROM {name}_corrected_readings
        WHERE {id} = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
        ORDER BY "timestamp"
        OFFSET %(most)s
        LIMIT 1))
    UNION ALL
    SELECT piece.place, greatest(1, room - readings),
        CASE WHEN readings > room THEN last + moved_by ELSE until END
    FROM counted
    JOIN piece ON piece.place = counted.place + 1 AND first + moved_by < until
    CROSS JOIN LATERAL sent_in(
        '{name}', %(id)s, first, least(past, until - moved_by), room + 1) AS sent
)
SELECT until FROM counted ORDER BY place DESC LIMIT 1

-- name: beyond_limit_corrected
-- Of the readings as corrected, the time of the first that lies beyond the first `limit`, and how many
-- there are.
SELECT count(*), min("timestamp") FILTER (WHERE place > %(limit)s) AS "timestamp"
FROM (
    SELECT "timestamp", row_number() OVER (ORDER BY "timestamp") AS place
    FROM {name}_as_corrected(%(id)s, %(start)s, %(end)s)) AS reading

-- name: readings_corrected
SELECT {sent}
FROM {name}_as_corrected(%(id)s, %(start)s, %(end)s)
ORDER BY "timestamp"
LIMIT %(limit)s

-- name: live_state
-- A device's newest reading; no row before the first.
SELECT {columns}, updated_at
FROM {live}
WHERE {id} = %(id)s
