-- A vehicle's charging figures. Windows and hours are half-open, hours are UTC hours; what belongs to a
-- session is said in increments.sql.

-- A vehicle's figures are summed in two steps: what it and its sessions are like; and then each side
-- on its own, so that no join multiplies readings.

-- fragment: vehicle_like
-- What span.device_id is like; a device that is not registered is as the deployment says.
coalesce(energy_reading, %(energy_reading)s) = 'register' AS is_register,
coalesce(report_seconds, %(report_seconds)s) * interval '1 second' AS pace,
least(coalesce(register_tolerance, %(tolerance)s), 1e300)::numeric AS tolerance,
register_modulus::numeric AS modulus,
CASE WHEN coalesce(report_seconds, %(report_seconds)s) IS NOT NULL
    THEN (CASE WHEN max_charge_kw < 1e-9 THEN 1e-9 ELSE max_charge_kw END)::numeric END AS own_kw

-- fragment: meter_like
coalesce(energy_reading, %(energy_reading)s) = 'register' AS is_register,
coalesce(report_seconds, %(report_seconds)s) * interval '1 second' AS pace,
least(coalesce(register_tolerance, %(tolerance)s), 1e300)::numeric AS tolerance,
register_modulus::numeric AS modulus,
CASE WHEN coalesce(report_seconds, %(report_seconds)s) IS NOT NULL
    THEN (CASE WHEN capacity_kw < 1e-9 THEN 1e-9 ELSE capacity_kw END)::numeric END AS own_kw

-- name: vehicle
-- The vehicle's sessions that meet the window, oldest first, cut to it; one row without a session when
-- none does. `dc_*` and `known` are about the vehicle and the same in each; `pace_s` are seconds;
-- `base` and `reach` are the times of the readings around that matter, as far as `base_start` and
-- `reach_end` let them be found: all of them if it `is_enough`. No reading is after `reach_end` if it `ends`.
SELECT vehicle.*, session_id, meter_id, start, past, ac_pace_s, has_length, ac_base, ac_reach,
    last_instant, dc_is_enough AND coalesce(ac_is_enough, true) AS is_enough,
    dc_is_plain AND coalesce(ac_is_plain, true) AS is_plain
FROM (
    SELECT extract(epoch FROM pace)::integer AS dc_pace_s, base AS dc_base, reach AS dc_reach,
        is_enough AS dc_is_enough, pace IS NULL AND NOT is_register AND NOT is_corrected AND NOT EXISTS (
            SELECT 1 FROM charging_sessions
            WHERE charging_sessions.vehicle_id = %(vehicle_id)s AND ended_at = %(start)s
                AND tstzrange(started_at, ended_at, '[]') @> %(start)s) AS dc_is_plain,
        EXISTS (SELECT 1 FROM vehicles WHERE vehicle_id = %(vehicle_id)s)
            OR EXISTS (SELECT 1 FROM vehicle_live_state WHERE vehicle_id = %(vehicle_id)s) AS known
    FROM (VALUES (%(vehicle_id)s::text)) AS asked (vehicle_id)
    LEFT JOIN vehicles USING (vehicle_id)
    CROSS JOIN LATERAL (SELECT
        -- include: vehicle_like
    ) AS is_like
    CROSS JOIN (SELECT %(vehicle_id)s::text AS device_id, %(start)s::timestamptz AS start,
        %(end)s::timestamptz AS past) AS span
    CROSS JOIN LATERAL (SELECT
        -- include: is_corrected of vehicle
    ) AS changed (is_corrected)
    CROSS JOIN LATERAL (
        -- include: around of vehicle
    ) AS around
) AS vehicle
LEFT JOIN (
    SELECT session_id, meter_id, start, past, extract(epoch FROM pace)::integer AS ac_pace_s,
        ended_at IS DISTINCT FROM started_at AS has_length, base AS ac_base, reach AS ac_reach,
        is_enough AS ac_is_enough,
        CASE WHEN ended_at <= %(end)s THEN ended_at - interval '1 microsecond' END
            AS last_instant,
        pace IS NULL AND NOT is_register AND NOT is_corrected
            AND ended_at IS DISTINCT FROM started_at AND NOT EXISTS (
            SELECT 1 FROM charging_sessions AS other
            WHERE other.session_id <> session.session_id AND other.meter_id = session.meter_id
                AND tstzrange(other.started_at, other.ended_at, '[]')
                    && tstzrange(session.started_at, session.ended_at, '[]'))
            AND NOT EXISTS (
            SELECT 1 FROM charging_sessions AS other
            WHERE other.session_id <> session.session_id AND other.vehicle_id = session.vehicle_id
                AND tstzrange(other.started_at, other.ended_at, '[]')
                    && tstzrange(session.started_at, session.ended_at, '[]')) AS ac_is_plain
    FROM charging_sessions AS session
    JOIN meters USING (meter_id)
    CROSS JOIN LATERAL (SELECT
        -- include: meter_like
    ) AS is_like
    CROSS JOIN LATERAL (SELECT meter_id AS device_id, greatest(started_at, %(start)s) AS start,
        least(ended_at, %(end)s) AS past) AS span
    CROSS JOIN LATERAL (SELECT
        -- include: is_corrected of meter
    ) AS changed (is_corrected)
    CROSS JOIN LATERAL (
        -- include: around of meter
    ) AS around
    WHERE
        -- include: is_met
) AS session ON true
ORDER BY start

-- fragment: is_met
-- Whether a session is the vehicle's and meets the window.
vehicle_id = %(vehicle_id)s
    AND tstzrange(started_at, ended_at, '[]') && tstzrange(%(start)s, %(end)s)
    AND (ended_at > %(start)s OR ended_at IS NULL OR ended_at = started_at)

-- name: meters_met
-- What of its meters' time `vehicle` looks at, for sql/gathered.py.
SELECT meter_id, greatest(started_at, %(start)s) AS start, least(ended_at, %(end)s) AS past
FROM charging_sessions
WHERE
    -- include: is_met

-- name: sums
-- The sums of each side, by UTC hour, and with a null hour those of the whole window: `readings` have
-- a share in the vehicle's sessions, `outside` is energy in none; `gap` is the median between
-- readings. Of side `read`: all the vehicle's readings, those with a temperature, and its sum.
WITH session AS MATERIALIZED (
    SELECT session_id, device_id, start,
        CASE WHEN past = start THEN past + interval '1 microsecond' ELSE past END AS past, meter.*,
        -- include: is_corrected of meter
        AS is_corrected
    FROM unnest(%(session_ids)s::uuid[], %(meter_ids)s::text[], %(starts)s::timestamptz[],
            %(pasts)s::timestamptz[]) AS span (session_id, device_id, start, past)
    JOIN meters ON meter_id = device_id
    CROSS JOIN LATERAL (SELECT
        -- include: meter_like
    ) AS meter
),
vehicle AS MATERIALIZED (
    SELECT NULL::uuid AS session_id, device_id, %(start)s::timestamptz AS start,
        %(end)s::timestamptz AS past, vehicle.*,
        -- include: is_corrected of vehicle
        AS is_corrected
    FROM (VALUES (%(vehicle_id)s::text)) AS span (device_id)
    LEFT JOIN vehicles ON vehicle_id = device_id
    CROSS JOIN LATERAL (SELECT
        -- include: vehicle_like
    ) AS vehicle
),
ac AS MATERIALIZED (
    SELECT share.*
    FROM session AS span
    CROSS JOIN LATERAL (
        -- include: shares of meter
    ) AS share
    WHERE share.session_id = span.session_id OR covered IS NOT NULL
),
dc AS MATERIALIZED (
    SELECT share.*
    FROM vehicle AS span
    CROSS JOIN LATERAL (
        -- include: shares of vehicle
    ) AS share
)
SELECT 'ac' AS side, date_bin('1 hour', instant, 'epoch') AS hour, sum(energy) AS energy,
    NULL::numeric AS outside, NULL::numeric AS estimated, NULL::bigint AS readings,
    NULL::bigint AS counter_resets, NULL::bigint AS dips, NULL::bigint AS spikes,
    NULL::bigint AS implausible, NULL::bigint AS temps, NULL::numeric AS temp_sum,
    NULL::bigint AS gaps, NULL::float8 AS gap, NULL::numeric AS seconds
FROM ac
WHERE instant IS NOT NULL
GROUP BY hour
UNION ALL
SELECT 'dc', date_bin('1 hour', instant, 'epoch') AS hour,
    coalesce(sum(energy) FILTER (WHERE session_id IS NOT NULL), 0),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM dc
WHERE instant IS NOT NULL
GROUP BY hour
UNION ALL
SELECT 'ac', NULL, sum(energy), NULL, sum(estimated),
    -- include: readings_and_flags
    count(*) FILTER (WHERE is_read AND p IS NOT NULL),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t - p)::float8)
        FILTER (WHERE is_read), extract(epoch FROM sum(covered))
FROM ac
CROSS JOIN LATERAL (
    SELECT session_id IS NOT NULL AND NOT is_edge AND (earlier IS NULL OR earlier < %(start)s)
        AS is_read) AS once
HAVING count(*) > 0
UNION ALL
SELECT 'dc', NULL, sum(energy) FILTER (WHERE session_id IS NOT NULL),
    sum(energy) FILTER (WHERE session_id IS NULL), sum(estimated),
    -- include: readings_and_flags
    count(*) FILTER (WHERE is_read AND p IS NOT NULL),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t - p)::float8)
        FILTER (WHERE is_read), extract(epoch FROM sum(covered))
FROM dc
CROSS JOIN LATERAL (
    SELECT session_id IS NOT NULL AND NOT is_edge AND (earlier IS NULL OR earlier < %(start)s)
        AS is_read) AS once
HAVING count(*) > 0
UNION ALL
SELECT 'read', date_bin('1 hour', "timestamp", 'epoch') AS hour, NULL, NULL, NULL, count(*),
    NULL, NULL, NULL, NULL, count(battery_temp), total_celsius(sum(exact_temp(battery_temp))),
    NULL, NULL, NULL
FROM vehicle AS span
CROSS JOIN LATERAL (
    -- include: readings_of_span of vehicle
) AS reading
GROUP BY hour

-- fragment: readings_and_flags
count(*) FILTER (WHERE is_read), count(*) FILTER (WHERE counts AND is_reset),
count(*) FILTER (WHERE counts AND is_dip), count(*) FILTER (WHERE counts AND is_spike),
count(*) FILTER (WHERE counts AND is_implausible), NULL, NULL,

-- name: rejected
-- How many readings of these devices were rejected whose time lies in [start, end); those that would
-- have changed no energy are left out. And how many were corrected.
SELECT count(*) AS rejected, (
    SELECT coalesce(sum(corrected_count(stream, device_id, %(start)s, %(end)s)), 0)
    FROM (
        SELECT DISTINCT stream, device_id
        FROM corrections
        WHERE undone_at IS NULL AND ((stream = 'vehicle' AND device_id = %(vehicle_id)s)
            OR (stream = 'meter' AND device_id = ANY (%(meter_ids)s)))) AS device) AS corrected
FROM rejected_records
WHERE resolved_at IS NULL AND reading_at >= %(start)s AND reading_at < %(end)s AND NOT same_energy
    AND ((topic = %(vehicle_topic)s AND device_id = %(vehicle_id)s)
        OR (topic = %(meter_topic)s AND device_id = ANY (%(meter_ids)s)))

-- name: soc
-- The vehicle's states of charge as first and last read in [start, end); nulls without a reading.
SELECT
    (SELECT soc
    FROM (
        -- include: readings_of_span of vehicle
    ) AS reading
    WHERE soc IS NOT NULL
    ORDER BY "timestamp"
    LIMIT 1) AS soc_from,
    (SELECT soc
    FROM (
        -- include: readings_of_span of vehicle
    ) AS reading
    WHERE soc IS NOT NULL
    ORDER BY "timestamp" DESC
    LIMIT 1) AS soc_to
FROM (SELECT %(vehicle_id)s::text AS device_id, %(start)s::timestamptz AS start,
    %(end)s::timestamptz AS past) AS span
CROSS JOIN LATERAL (SELECT
    -- include: is_corrected of vehicle
) AS changed (is_corrected)

-- name: realtime
-- One row; `known` is false for a vehicle neither registered nor ever heard of.
SELECT live.soc, live.battery_temp, live."timestamp",
    live.vehicle_id IS NOT NULL
        OR EXISTS (SELECT 1 FROM vehicles WHERE vehicle_id = %(vehicle_id)s) AS known,
    EXISTS (
        SELECT 1 FROM charging_sessions
        WHERE vehicle_id = %(vehicle_id)s AND ended_at IS NULL) AS is_charging
FROM (VALUES (1)) AS one
LEFT JOIN vehicle_live_state AS live ON live.vehicle_id = %(vehicle_id)s
