-- What a register's readings mean, said once for all statements. A register counts on and on: a
-- reading is credited with the energy since the reading of the same device before it. That one, its
-- base, may lie before whatever is asked for, but by `base_reach` at most.

-- Both fragments are of a stream whose first value is the energy. The parameters `start` and `end`
-- enclose all that is asked for, `base_start` the bases too. They stand right beside "timestamp",
-- so that no day partition outside of them is touched.

-- fragment: register_increases
-- The readings of span.device_id in [span.start, span.past); the base of the first lies at
-- span.base_start or later. `energy` is what each is credited with: 0 when nothing is known before
-- it, and the whole count when the counter had been reset to zero.
SELECT "timestamp", {values},
    CASE
        WHEN "timestamp" - previous_at > %(base_reach)s OR previous_at IS NULL THEN 0
        WHEN kwh < previous_kwh THEN kwh
        ELSE kwh - previous_kwh
    END AS energy,
    coalesce(kwh < previous_kwh AND "timestamp" - previous_at <= %(base_reach)s, false) AS is_reset
FROM (
    SELECT *, lag(kwh) OVER register AS previous_kwh, lag("timestamp") OVER register AS previous_at
    FROM (
        SELECT "timestamp", {energy}::numeric AS kwh, {values}
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
            AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
        UNION ALL
        (SELECT "timestamp", {energy}::numeric, {values}
        FROM {history}
        WHERE {id} = span.device_id AND "timestamp" < span.start
            AND "timestamp" >= span.base_start
            AND "timestamp" >= %(base_start)s AND "timestamp" < %(end)s
        ORDER BY "timestamp" DESC
        LIMIT 1)) AS reading
    WINDOW register AS (ORDER BY "timestamp")) AS reading
WHERE "timestamp" >= span.start

-- fragment: register_followers
-- The hours of the readings that follow a touched hour of a register: a late reading is the base of
-- the next one, in whatever hour that is.
SELECT date_bin('1 hour', next."timestamp", 'epoch'), stream, device
FROM touched
LEFT JOIN {devices} ON {id} = device
CROSS JOIN LATERAL (
    SELECT "timestamp"
    FROM {history}
    WHERE {id} = device AND "timestamp" >= hour + interval '1 hour'
        AND "timestamp" < hour + interval '1 hour' + %(base_reach)s AND "timestamp" >= %(start)s
    ORDER BY "timestamp"
    LIMIT 1) AS next
WHERE stream = '{name}' AND coalesce(energy_reading, %(energy_reading)s) = 'register'
