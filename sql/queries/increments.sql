-- What readings are credited with, and to which session, said once for all statements;
-- docs/analytics.md explains it. A span is a stretch of one device's time, with what the device is
-- like: device_id, start, past, is_register, pace (an interval, null when it is not known),
-- tolerance, modulus and own_kw (null unless the pace is known), and whether it is_corrected.

-- The parameters `start` and `end` enclose all spans, `base_start` and `reach_end` also what lies up
-- to twice `reach` before and after them. They stand right beside "timestamp", so that no day partition
-- outside of them is touched. `sane_kw` is what no device can carry.

-- fragment: shares
-- The increments of span.device_id, or the shares of those that several sessions have, whose instant
-- lies in [span.start, span.past). `t` is the reading's time, `p` that of the one before. `earlier` is
-- the instant of the share before it that a session of the same vehicle has; `counts` is true for one
-- share that each vehicle has of a reading, which its flags count with, and `is_last` for one of all.
--
-- Only the first reading after a session can belong to it, so one more than the span has is needed,
-- and two that follow it, since a drop may be taken back: each at most `reach` after the one before.
--
-- What sessions say of a meter's register is an `edge`: it counts in the chain, but is no reading. `p`
-- is the reading before that is none.
WITH near AS MATERIALIZED (
    SELECT t, kwh, lag(t) OVER (ORDER BY t) AS read_before
    FROM (
        (SELECT "timestamp" AS t, {energy} AS kwh
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" < span.start
            AND "timestamp" >= span.start - %(reach)s
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
            AND NOT is_corrected
        ORDER BY "timestamp" DESC
        LIMIT CASE WHEN is_register THEN 14 ELSE 1 END)
        UNION ALL
        SELECT "timestamp", {energy}
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
            AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
            AND NOT is_corrected
        UNION ALL
        (SELECT "timestamp", {energy}
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.past
            AND "timestamp" <= span.past + 2 * %(reach)s
            AND "timestamp" >= %(start)s AND "timestamp" <= %(reach_end)s
            AND NOT is_corrected
        ORDER BY "timestamp"
        LIMIT CASE WHEN is_register THEN 3 ELSE 1 END)
        UNION ALL
        SELECT t, kwh
        FROM energy_around('{name}', span.device_id, span.start, span.past, %(reach)s,
            CASE WHEN is_register THEN 14 ELSE 1 END, CASE WHEN is_register THEN 3 ELSE 1 END)
        WHERE is_corrected) AS near
),
reading AS MATERIALIZED (
    SELECT *, lag(t) OVER (ORDER BY t) AS last_t, lag(kwh) OVER (ORDER BY t) AS last_kwh
    FROM (
        SELECT *, false AS is_edge FROM near
        UNION ALL
        SELECT edge.t, edge.kwh, NULL, true
        FROM (
            SELECT coalesce(array_agg(t ORDER BY t), '{{}}') AS times,
                array_agg(kwh ORDER BY t) AS counts,
                CASE WHEN count(*) FILTER (WHERE t < span.start) < 14
                    THEN span.start - %(reach)s ELSE min(t) END AS since,
                CASE WHEN count(*) FILTER (WHERE t >= span.past) < 3
                    THEN span.past + 2 * %(reach)s ELSE max(t) END AS until
            FROM near) AS near
        CROSS JOIN LATERAL session_edges(span.device_id, since, until, times, counts) AS edge
        WHERE is_register AND '{name}' = 'meter') AS reading
),
bounds AS MATERIALIZED (
    SELECT min(t) AS first, max(t) AS last, max(t) FILTER (WHERE NOT is_edge) AS last_read,
        min(t) FILTER (WHERE t >= span.past) AS closing,
        is_register AND (coalesce(bool_or(kwh < last_kwh), false) OR EXISTS (
            SELECT FROM register_exchanges AS exchange
            WHERE exchange.stream = '{name}' AND exchange.device_id = span.device_id
                AND exchanged_at > min(t) AND exchanged_at <= max(t))) AS troubled
    FROM reading
),
session AS MATERIALIZED (
    -- One `yields` where it ends while another of the device goes on, or starts.
    SELECT *, coalesce(lead(started_at) OVER (ORDER BY started_at, ended_at) = ended_at, false)
        OR coalesce(lead(started_at) OVER (
            PARTITION BY ended_at > started_at ORDER BY started_at) = ended_at, false)
        OR coalesce(lead(ended_at) OVER (ORDER BY ended_at, started_at) = ended_at, false)
        OR coalesce(max(ended_at) OVER (ORDER BY started_at, ended_at ROWS UNBOUNDED PRECEDING
            EXCLUDE CURRENT ROW) > ended_at, false) AS yields
    FROM (
        SELECT session_id, started_at, coalesce(ended_at, 'infinity') AS ended_at,
            CASE
                WHEN ended_at > started_at THEN ended_at - interval '1 microsecond'
                ELSE coalesce(ended_at, 'infinity')
            END AS last_instant
        FROM charging_sessions
        CROSS JOIN bounds
        WHERE charging_sessions.{id} = span.device_id
            AND tstzrange(started_at, ended_at, '[]') && tstzrange(
                coalesce((SELECT max(t) FROM reading WHERE t < span.start), span.start)
                    - coalesce(pace, '0'), greatest(last, span.past), '[]')) AS session
),
edge AS MATERIALIZED (
    -- Where sessions start and end; from each on, which one the device has, unless it is `crowded`.
    SELECT coalesce(array_agg(at ORDER BY at), '{{}}') AS edges,
        array_agg(sessions[1] ORDER BY at) AS owners,
        array_agg(cardinality(sessions) > 1 ORDER BY at) AS crowded
    FROM (SELECT started_at AS at FROM session UNION SELECT ended_at FROM session) AS edge
    CROSS JOIN LATERAL (
        SELECT array_agg(session_id) AS sessions
        FROM session
        WHERE started_at <= at AND ended_at > at) AS around
),
placed AS MATERIALIZED (
    -- A reading is plain if it and the one before are in the same session, or in none, close to each
    -- other, and nothing is to be said about them.
    SELECT reading.*, owners[place] AS owner, coalesce(NOT troubled AND t - last_t <= 2 * each
        AND last_t = read_before
        AND last_t >= span.start AND t < span.past AND t < last_read AND t <= %(now)s
        AND width_bucket(last_t, edges) = place AND crowded[place] IS NOT TRUE
        AND kwh - CASE WHEN is_register THEN last_kwh ELSE 0 END <= least_doubted, false) AS is_plain
    FROM reading
    CROSS JOIN bounds
    CROSS JOIN edge
    CROSS JOIN (SELECT coalesce(pace, '1 minute') AS each) AS gap
    CROSS JOIN (
        -- include: least_doubted
    ) AS doubt
    CROSS JOIN LATERAL (SELECT width_bucket(t, edges) AS place) AS found
),
increase AS (
    SELECT t, CASE WHEN t - last_t <= %(reach)s THEN last_t END AS p, is_edge, read_before,
        CASE
            WHEN NOT is_register THEN kwh::numeric
            WHEN t - last_t <= %(reach)s THEN kwh::numeric - last_kwh::numeric
            ELSE 0
        END AS energy,
        NULL AS kind
    FROM bounds
    CROSS JOIN placed
    WHERE NOT troubled AND NOT is_plain
    UNION ALL
    SELECT chain.t, chain.p, is_edge, read_before, energy, kind
    FROM bounds
    CROSS JOIN LATERAL (
        SELECT array_agg(t ORDER BY t) AS times, array_agg(kwh ORDER BY t) AS counts FROM reading
    ) AS all_of_them
    CROSS JOIN LATERAL register_chain('{name}', span.device_id, '{history}', '{id}', '{energy}',
        span.start, times, counts, tolerance, modulus, %(sane_kw)s, own_kw, pace) AS chain
    JOIN reading AS found ON found.t = chain.t
    WHERE troubled
),
increment AS (
    SELECT t, p, is_edge, CASE WHEN t - read_before <= %(reach)s THEN read_before END AS p_read, kind,
        CASE WHEN is_insane THEN 0 ELSE energy END AS energy,
        CASE
            WHEN p IS NULL THEN t - pace
            WHEN is_register THEN p
            ELSE greatest(p, t - 2 * pace)
        END AS gap_start,
        coalesce(is_register AND t - p > 2.5 * pace, false) AS is_long,
        is_insane OR coalesce(energy > most_kwh(own_kw, greatest(t - p, pace)), false)
            AS is_implausible
    FROM increase
    CROSS JOIN bounds
    CROSS JOIN LATERAL (SELECT coalesce(t - p, '1 hour') AS lasts) AS gap
    CROSS JOIN LATERAL (
        SELECT energy > most_kwh(%(sane_kw)s, '1 minute')
            AND energy > most_kwh(%(sane_kw)s, greatest(lasts, '1 minute')) AS is_insane) AS judged
    WHERE t >= span.start AND (t < span.past OR t = closing)
)
SELECT t, p, is_edge, instant, session_id, energy, estimated, earlier, counts, is_last,
    coalesce(kind = 'reset', false) AS is_reset, coalesce(kind = 'dip', false) AS is_dip,
    coalesce(kind = 'spike', false) AS is_spike, is_implausible, covered
FROM (
    SELECT t, last_t AS p, false AS is_edge, NULL::text AS kind, false AS is_implausible, owner AS session_id,
        t AS instant,
        CASE WHEN is_register THEN kwh::numeric - last_kwh::numeric ELSE kwh::numeric END AS energy,
        0.0 AS estimated, NULL::timestamptz AS earlier, true AS counts, true AS is_last,
        CASE WHEN owner = coalesce(span.session_id, owner) THEN t - last_t END AS covered
    FROM placed
    WHERE is_plain
    UNION ALL
    -- Of a device whose pace is not known: the session that contains the time; where one ends and
    -- another starts, the one that starts. An edge says what was drawn before it.
    SELECT t, p_read, is_edge, kind, is_implausible, session_id,
        CASE WHEN ended_at <= t THEN last_instant ELSE t END, energy, 0.0, NULL, true, true, NULL
    FROM increment
    LEFT JOIN session ON CASE WHEN is_edge THEN started_at < t AND t <= ended_at
        ELSE started_at <= t AND (t < ended_at OR (t = ended_at AND NOT yields)) END
    WHERE pace IS NULL
    UNION ALL
    -- Of an ordinary gap: the session that it lies in, or else the one that overlaps it longest.
    SELECT t, p_read, is_edge, kind, is_implausible, coalesce(around.session_id, nearest.session_id),
        coalesce(nearest.instant, t), energy, coalesce(estimated, 0.0), NULL, true,
        true, NULL
    FROM increment
    LEFT JOIN session AS around ON around.started_at <= gap_start AND t < around.ended_at
    LEFT JOIN LATERAL (
        SELECT session_id, CASE WHEN ended_at <= t THEN last_instant ELSE t END AS instant,
            energy * extract(epoch FROM sum(overlap) OVER () - overlap)
                / extract(epoch FROM t - gap_start) AS estimated
        FROM (
            -- include: sessions_in_gap
        ) AS session
        ORDER BY overlap DESC, started_at
        LIMIT 1) AS nearest ON around.session_id IS NULL
    WHERE pace IS NOT NULL AND NOT is_long
    UNION ALL
    -- Of a long gap: each of its sessions.
    SELECT t, p_read, is_edge, kind, is_implausible, session_id, instant, share,
        CASE WHEN session_id IS NULL THEN 0.0 ELSE share END, earlier, counts, is_last, NULL
    FROM increment
    CROSS JOIN LATERAL long_shares('{name}', span.device_id, gap_start, t, energy,
        coalesce(own_kw, %(sane_kw)s)) AS long
    WHERE is_long) AS share
WHERE instant >= span.start AND instant < span.past
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, false, false, NULL, NULL, NULL, NULL, (
    SELECT sum(
        -- include: covered
    )
    FROM (
        SELECT t, read_before AS last_t, t = last_read AS is_last
        FROM placed
        CROSS JOIN bounds
        WHERE NOT is_plain AND NOT is_edge) AS reading
    CROSS JOIN LATERAL (SELECT coalesce(pace, '1 minute') AS each) AS gap
    JOIN (
        SELECT greatest(started_at, span.start) AS first,
            least(ended_at, span.past, %(now)s) AS past
        FROM session
        WHERE span.session_id IS NULL OR session.session_id = span.session_id) AS stretch
        ON first < t + each AND stretch.past > coalesce(last_t, t - each))

-- fragment: is_corrected
-- Whether corrections of span.device_id are in force.
EXISTS (
    SELECT 1 FROM corrections
    WHERE stream = '{name}' AND corrections.device_id = span.device_id AND undone_at IS NULL)

-- fragment: readings_of_span
-- The readings of span.device_id in [span.start, span.past), as corrected.
SELECT {columns}
FROM {history}
WHERE {id} = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
    AND "timestamp" >= %(start)s AND "timestamp" < %(end)s AND NOT is_corrected
UNION ALL
SELECT {columns} FROM {name}_as_corrected(span.device_id, span.start, span.past) WHERE is_corrected

-- fragment: least_doubted
-- The least energy that may be more than the device can carry, and a little less: doubles are rounded.
SELECT 0.999 * least(most_kwh(%(sane_kw)s, '1 minute'), most_kwh(own_kw, pace))::float8
    AS least_doubted

-- fragment: sessions_in_gap
SELECT * FROM (
    SELECT *, least(t, ended_at) - greatest(gap_start, started_at) AS overlap
    FROM session) AS session
WHERE overlap > '0'

-- fragment: covered
-- For how much of [first, stretch.past) a reading and the one before it speak: for their ordinary gap
-- and, until the next one, as long again as they are apart.
CASE
    WHEN last_t IS NULL THEN shared(t - each, t, first, stretch.past)
    WHEN t - last_t > %(reach)s THEN shared(last_t, last_t + each, first, stretch.past)
        + shared(t - each, t, first, stretch.past)
    WHEN t - last_t <= each * CASE WHEN is_register THEN 2.5 ELSE 3 END
        THEN shared(last_t, t, first, stretch.past)
    WHEN is_register THEN shared(last_t, last_t + each, first, stretch.past)
    ELSE shared(last_t, last_t + each, first, stretch.past)
        + shared(t - 2 * each, t, first, stretch.past)
END + CASE WHEN is_last THEN shared(t, t + each, first, stretch.past) ELSE '0' END

-- fragment: covered_of_span
-- How much of [span.start, span.past) the device's readings speak for; null where none does.
SELECT sum(
    -- include: covered
    ) AS covered
FROM (
    SELECT t, lag(t) OVER (ORDER BY t) AS last_t, lead(t) OVER (ORDER BY t) IS NULL AS is_last
    FROM (
        (SELECT "timestamp" AS t
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" < span.start
            AND "timestamp" >= span.start - %(reach)s
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s AND NOT is_corrected
        ORDER BY "timestamp" DESC
        LIMIT 1)
        UNION ALL
        SELECT "timestamp"
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
            AND "timestamp" >= %(start)s AND "timestamp" < %(end)s AND NOT is_corrected
        UNION ALL
        (SELECT "timestamp"
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.past
            AND "timestamp" <= span.past + 2 * %(reach)s
            AND "timestamp" >= %(start)s AND "timestamp" <= %(reach_end)s AND NOT is_corrected
        ORDER BY "timestamp"
        LIMIT 1)
        UNION ALL
        SELECT t
        FROM energy_around('{name}', span.device_id, span.start, span.past, %(reach)s, 1, 1)
        WHERE is_corrected) AS near) AS reading
CROSS JOIN LATERAL (
    SELECT coalesce(pace, '1 minute') AS each, span.start AS first, span.past) AS stretch

-- fragment: around
-- The times of the first and the last reading around the span that the fragments above look at, and
-- whether these are all, since there are no more of them or no later ones than `reach_end`: it `ends`.
-- They are looked for alone, so that what does look at them plans for few day partitions. As corrected,
-- readings are planned for when they are asked for.
SELECT CASE WHEN is_register THEN earliest ELSE base END AS base, reach,
    befores >= CASE WHEN is_register THEN 14 ELSE 1 END
        AND (afters >= CASE WHEN is_register THEN 3 ELSE 1 END OR %(ends)s)
        OR is_corrected AS is_enough
FROM (
    SELECT min(t) AS earliest, max(t) AS base, count(*) AS befores
    FROM (
        SELECT "timestamp" AS t
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" < span.start
            AND "timestamp" >= span.start - %(reach)s
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
        ORDER BY "timestamp" DESC
        LIMIT 14) AS before) AS before
CROSS JOIN (
    SELECT max(t) AS reach, count(*) AS afters
    FROM (
        SELECT "timestamp" AS t
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.past
            AND "timestamp" <= span.past + 2 * %(reach)s
            AND "timestamp" >= %(start)s AND "timestamp" <= %(reach_end)s
        ORDER BY "timestamp"
        LIMIT 3) AS after) AS after
