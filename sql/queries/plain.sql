-- A vehicle's sums where nothing is to be said about its readings: what `sums` of analytics.sql gives, but
-- sooner. Of a plain vehicle no pace is known, and of the meters of its sessions; none
-- is a register. Each session has a length, and no other of the vehicle or the meter meets it.

-- name: plain_sums
-- The rows of `sums`. Those with a null hour say whether they hold: no reading may be implausible, and
-- the sessions are wholly covered. The sessions are in order; a reading at the very end of one that ends
-- in the window belongs to it, at its `last_instant`.
WITH session AS MATERIALIZED (
    SELECT *, least(past, %(now)s) AS until
    FROM unnest(%(meter_ids)s::text[], %(starts)s::timestamptz[], %(pasts)s::timestamptz[],
            %(last_instants)s::timestamptz[], %(ac_bases)s::timestamptz[]) WITH ORDINALITY
        AS session (meter_id, start, past, last_instant, base, place)
),
dc AS MATERIALIZED (
    SELECT CASE WHEN is_charging THEN place END AS place,
        date_bin('1 hour', t, 'epoch') AS read_hour,
        date_bin('1 hour', CASE WHEN is_charging THEN least(t, last_instant) ELSE t END, 'epoch')
            AS hour,
        count(*) FILTER (WHERE t < %(end)s) AS read,
        count(battery_temp) FILTER (WHERE t < %(end)s) AS temps,
        total_celsius(sum(exact_temp(battery_temp)) FILTER (WHERE t < %(end)s)) AS temp_sum,
        -- include: sums_and_gaps
    FROM (
        SELECT "timestamp" AS t, kwh_delivered_dc AS kwh, battery_temp,
            coalesce(lag("timestamp") OVER (ORDER BY "timestamp"), %(dc_base)s) AS p,
            width_bucket("timestamp", %(starts)s::timestamptz[])::bigint AS place
        FROM vehicle_telemetry_history
        WHERE vehicle_id = %(vehicle_id)s
            AND "timestamp" >= %(start)s AND "timestamp" <= %(end)s) AS reading
    LEFT JOIN session USING (place)
    CROSS JOIN LATERAL (
        SELECT coalesce(t < past OR (t = past AND last_instant < t), false) AS is_charging) AS found
    WHERE t < %(end)s OR is_charging
    GROUP BY 1, 2, 3
),
part AS MATERIALIZED (
    SELECT 'ac' AS side, place, sums.*
    FROM session
    CROSS JOIN LATERAL (
        SELECT date_bin('1 hour', least(t, last_instant), 'epoch') AS hour,
            -- include: sums_and_gaps
        FROM (
            SELECT "timestamp" AS t, kwh_consumed_ac AS kwh,
                coalesce(lag("timestamp") OVER (ORDER BY "timestamp"), base) AS p
            FROM meter_telemetry_history
            WHERE meter_telemetry_history.meter_id = session.meter_id
                AND "timestamp" >= session.start AND "timestamp" <= past
                AND "timestamp" >= %(start)s AND "timestamp" <= %(end)s) AS reading
        WHERE t < past OR last_instant < t
        GROUP BY 1) AS sums
    UNION ALL
    SELECT 'dc', place, hour, energy, readings, is_doubted, first, last, most_gap, gaps
    FROM dc
)
SELECT side, hour, coalesce(sum(energy) FILTER (WHERE place IS NOT NULL), 0) AS energy,
    NULL::numeric AS outside, 0.0 AS estimated, NULL::numeric AS readings, 0 AS counter_resets,
    0 AS dips, 0 AS spikes, 0 AS implausible, NULL::numeric AS temps, NULL::numeric AS temp_sum,
    NULL::bigint AS gaps, NULL::float8 AS gap, NULL::numeric AS seconds, true AS holds
FROM part
GROUP BY side, hour
UNION ALL
SELECT side, NULL, sum(energy) FILTER (WHERE place IS NOT NULL),
    sum(energy) FILTER (WHERE place IS NULL), 0, sum(readings) FILTER (WHERE place IS NOT NULL),
    0, 0, 0, 0, NULL, NULL, max(found.gaps), max(gap),
    (SELECT extract(epoch FROM sum(until - start)) FROM session),
    NOT coalesce(bool_or(is_doubted), false) AND bool_and(is_covered)
FROM (VALUES ('ac'), ('dc')) AS side (side)
LEFT JOIN part USING (side)
CROSS JOIN LATERAL (
    SELECT count(gap) AS gaps,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM gap)::float8) AS gap
    FROM part AS each
    CROSS JOIN unnest(each.gaps) AS gap
    WHERE each.side = side.side AND place IS NOT NULL) AS found
CROSS JOIN LATERAL (
    SELECT coalesce(bool_and(coalesce(until > start AND first <= start + interval '1 minute'
        AND last >= until - interval '1 minute' AND most_gap <= interval '3 minutes', false)), true)
        AS is_covered
    FROM session
    LEFT JOIN LATERAL (
        SELECT min(first) AS first, max(last) AS last, coalesce(max(most_gap), '0') AS most_gap
        FROM part AS each
        WHERE each.side = side.side AND each.place = session.place) AS read ON true) AS covered
GROUP BY side
UNION ALL
SELECT 'read', read_hour, NULL, NULL, NULL, sum(read), 0, 0, 0, 0, sum(temps), sum(temp_sum), NULL,
    NULL, NULL, true
FROM dc
GROUP BY read_hour
HAVING sum(read) > 0

-- fragment: sums_and_gaps
total_kwh(sum(nwh(kwh)), sum(other_kwh(kwh))) AS energy, count(*) AS readings,
bool_or(kwh > most_kwh(%(sane_kw)s, '1 minute')) AS is_doubted, min(t) AS first, max(t) AS last,
max(t - p) FILTER (WHERE p >= start) AS most_gap,
array_agg(t - p) FILTER (WHERE t - p <= %(reach)s) AS gaps
