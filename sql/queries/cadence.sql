-- How often registered devices report, and what they are told to be read by.

-- fragment: observed_devices
SELECT '{name}' AS stream_type, device.{id} AS device_id, device.report_seconds AS previous,
    observed.readings, observed.seconds
FROM {devices} AS device
CROSS JOIN LATERAL (
    SELECT count(*) AS readings, percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS seconds
    FROM (
        SELECT extract(epoch FROM "timestamp" - lag("timestamp") OVER (ORDER BY "timestamp"))::float8
            AS gap
        FROM (
            SELECT "timestamp" FROM {history}
            WHERE {id} = device.{id} AND "timestamp" >= %(since)s
            ORDER BY "timestamp" DESC
            LIMIT %(latest)s) AS latest) AS gaps
) AS observed
WHERE device.{id} = ANY (%(ids)s) AND '{name}' = ANY (%(streams)s)

-- fragment: adopting
UPDATE {devices} AS device
SET report_seconds = wanted.seconds, updated_at = now()
FROM (
    SELECT {id}, seconds
    FROM {devices} AS locked
    JOIN unnest(%(ids)s::text[], %(seconds)s::integer[]) AS new (id, seconds) ON {id} = new.id
    ORDER BY {id}
    FOR NO KEY UPDATE OF locked) AS wanted
WHERE device.{id} = wanted.{id} AND device.report_seconds IS DISTINCT FROM wanted.seconds

-- name: observe
-- The registered devices of `ids` and `streams`: how many of their `latest` readings were made since
-- `since`, and the median of the gaps between these, in seconds.
    -- include: observed_devices of meter
UNION ALL
    -- include: observed_devices of vehicle
ORDER BY device_id, stream_type

-- name: adopt_meter
-- Sets `report_seconds`. Devices are locked in the order of their ids; meters are to come first, as
-- where sessions are written.
-- include: adopting of meter

-- name: adopt_vehicle
-- include: adopting of vehicle
