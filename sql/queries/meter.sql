-- A meter's figures, whoever charged there.

-- name: meter
-- Its shares by UTC hour and session; a null session is none. Two rows with a null hour are about the
-- whole window: its flags, and the median between readings. Of side `read`: its readings by hour.
WITH meter AS MATERIALIZED (
    SELECT NULL::uuid AS session_id, device_id, %(start)s::timestamptz AS start,
        %(end)s::timestamptz AS past, meter.*,
        -- include: is_corrected of meter
        AS is_corrected
    FROM (VALUES (%(meter_id)s::text)) AS span (device_id)
    LEFT JOIN meters ON meter_id = device_id
    CROSS JOIN LATERAL (SELECT
        -- include: meter_like
    ) AS meter
),
share AS MATERIALIZED (
    SELECT share.*
    FROM meter AS span
    CROSS JOIN LATERAL (
        -- include: shares of meter
    ) AS share
    WHERE instant IS NOT NULL
)
SELECT 'share' AS side, date_bin('1 hour', instant, 'epoch') AS hour, session_id,
    sum(energy) AS energy, sum(estimated) AS estimated,
    count(*) FILTER (WHERE NOT is_edge) AS readings,
    NULL::bigint AS counter_resets, NULL::bigint AS dips, NULL::bigint AS spikes,
    NULL::bigint AS implausible, NULL::bigint AS gaps,
    NULL::float8 AS gap
FROM share
GROUP BY hour, session_id
UNION ALL
SELECT 'share', NULL, NULL, NULL, NULL, NULL, count(*) FILTER (WHERE is_last AND is_reset),
    count(*) FILTER (WHERE is_last AND is_dip), count(*) FILTER (WHERE is_last AND is_spike),
    count(*) FILTER (WHERE is_last AND is_implausible), NULL, NULL
FROM share
UNION ALL
SELECT 'share', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, count(p),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t - p)::float8)
FROM (SELECT DISTINCT t, p FROM share WHERE NOT is_edge) AS reading
UNION ALL
SELECT 'read', date_bin('1 hour', "timestamp", 'epoch') AS hour, NULL, NULL, NULL, count(*),
    NULL, NULL, NULL, NULL, NULL, NULL
FROM meter AS span
CROSS JOIN LATERAL (
    -- include: readings_of_span of meter
) AS reading
GROUP BY hour

-- name: device
-- What the meter is set to, whether it is registered or was ever heard of, how many of its readings
-- were rejected whose time lies in [start, end), or corrected, and the readings around it as `vehicle`
-- finds them.
SELECT extract(epoch FROM pace)::integer AS pace_s, base, reach, is_enough,
    EXISTS (SELECT 1 FROM meters WHERE meter_id = %(meter_id)s)
        OR EXISTS (SELECT 1 FROM meter_live_state WHERE meter_id = %(meter_id)s) AS known,
    (SELECT count(*)
    FROM rejected_records
    WHERE resolved_at IS NULL AND reading_at >= %(start)s AND reading_at < %(end)s
        AND NOT same_energy AND topic = %(meter_topic)s AND device_id = %(meter_id)s) AS rejected,
    CASE WHEN is_corrected
        THEN corrected_count('meter', %(meter_id)s, %(start)s, %(end)s) ELSE 0 END AS corrected
FROM (VALUES (%(meter_id)s::text)) AS asked (meter_id)
LEFT JOIN meters USING (meter_id)
CROSS JOIN LATERAL (SELECT
    -- include: meter_like
) AS meter
CROSS JOIN (SELECT %(meter_id)s::text AS device_id, %(start)s::timestamptz AS start,
    %(end)s::timestamptz AS past) AS span
CROSS JOIN LATERAL (SELECT
    -- include: is_corrected of meter
) AS changed (is_corrected)
CROSS JOIN LATERAL (
    -- include: around of meter
) AS around

-- name: meter_sessions
-- The sessions on a meter that overlap the window, oldest first.
SELECT
    -- include: session_columns
FROM charging_sessions AS session
WHERE meter_id = %(meter_id)s
    AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
ORDER BY started_at
