-- The readings that figures look at, brought from the nodes of a Citus cluster to where devices,
-- sessions and corrections are: Citus plans no statement that joins these with readings. Statements
-- that were loaded as gathered read {gathered} instead of {history}. What it has are readings, though
-- not all of them: those around spans of time of devices, `before`, `within` and `after`, as far as
-- `base_start` and `reach_end`. A transaction leaves none behind.

-- fragment: gathered_table
CREATE TEMP TABLE IF NOT EXISTS {gathered} (LIKE {history}, PRIMARY KEY ({id}, "timestamp"))
    ON COMMIT DELETE ROWS

-- name: begin
-- Makes the tables of the connection, unless they are there. Has Citus take the statements below to the
-- nodes, LIMIT and all: each is of one device.
-- include: gathered_table of meter
;
-- include: gathered_table of vehicle
;
SET LOCAL citus.subquery_pushdown = on

-- name: end
-- With it, Citus joins no distributed table with others.
SET LOCAL citus.subquery_pushdown = off

-- fragment: spans
INSERT INTO {gathered} ({columns})
WITH span AS MATERIALIZED (
    SELECT *
    FROM unnest(%(devices)s::text[], %(firsts)s::timestamptz[], %(pasts)s::timestamptz[])
        AS span (device, first, past)
)
SELECT reading.*
FROM span

-- fragment: history_of_span
-- Of few devices, in `few`, only the shards that have them are asked; it is null when there are many.
FROM {history}
WHERE {id} = span.device AND ({id} = ANY (%(few)s::text[]) OR %(few)s::text[] IS NULL)

-- fragment: before_spans
-- Here and below, Citus wants the outer LIMIT, and a look at history a statement.
-- include: spans of {name}
CROSS JOIN LATERAL (
    SELECT {columns}
    -- include: history_of_span of {name}
        AND "timestamp" < span.first
        AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
    ORDER BY "timestamp" DESC
    LIMIT %(most)s) AS reading
LIMIT ALL
ON CONFLICT DO NOTHING

-- fragment: within_spans
-- include: spans of {name}
CROSS JOIN LATERAL (
    SELECT {columns}
    -- include: history_of_span of {name}
        AND "timestamp" >= span.first AND "timestamp" < span.past
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
    LIMIT %(most)s) AS reading
LIMIT ALL
ON CONFLICT DO NOTHING

-- fragment: after_spans
-- include: spans of {name}
CROSS JOIN LATERAL (
    SELECT {columns}
    -- include: history_of_span of {name}
        AND "timestamp" >= span.past
        AND "timestamp" >= %(start)s AND "timestamp" <= %(reach_end)s
    ORDER BY "timestamp"
    LIMIT %(most)s) AS reading
LIMIT ALL
ON CONFLICT DO NOTHING

-- fragment: hours_of_spans
-- A reading of each hour that has one.
-- include: spans of {name}
CROSS JOIN LATERAL (
    SELECT DISTINCT ON ({id}, date_bin('1 hour', "timestamp", 'epoch')) {columns}
    -- include: history_of_span of {name}
        AND "timestamp" >= span.first AND "timestamp" < span.past
    ORDER BY {id}, date_bin('1 hour', "timestamp", 'epoch')
    LIMIT %(most)s) AS reading
LIMIT ALL
ON CONFLICT DO NOTHING

-- name: meter_before
-- include: before_spans of meter

-- name: meter_within
-- include: within_spans of meter

-- name: meter_after
-- include: after_spans of meter

-- name: meter_hours
-- include: hours_of_spans of meter

-- name: vehicle_before
-- include: before_spans of vehicle

-- name: vehicle_within
-- include: within_spans of vehicle

-- name: vehicle_after
-- include: after_spans of vehicle

-- name: vehicle_hours
-- include: hours_of_spans of vehicle

-- name: long_spans
-- What `touch_what_there_is` of rollup_units.sql looks at.
SELECT DISTINCT stream, device, first, past
FROM taken
CROSS JOIN unnest(devices) AS device
WHERE past - first > %(short)s

-- name: changed_spans
-- What `touch_neighbours` looks around.
SELECT DISTINCT stream, device, first, past
FROM (
    -- include: changes of meter
    UNION ALL
    -- include: changes of vehicle
) AS change
WHERE (is_register OR late) AND NOT is_corrected

-- name: summed_spans
-- What those of rollup_sums.sql look at and around.
SELECT stream, device_id, lower(stretch), upper(stretch)
FROM (
    SELECT stream, device_id, unnest(range_agg(tstzrange(start, past))) AS stretch
    FROM (
        SELECT 'meter' AS stream, device_id, start, past FROM session_spans WHERE NOT is_corrected
        UNION ALL
        SELECT 'vehicle', device_id, start, past FROM vehicle_spans WHERE NOT is_corrected) AS span
    GROUP BY stream, device_id) AS of_device
