-- The whole fleet's figures, from the rollups.

-- name: fleet
-- The first row, with a null vehicle_id, holds the whole fleet's sums of [start, end), both whole
-- hours; the whole days in between, from `first_day` up to `past_day`, come from the rollups by day.
-- The other rows are vehicles, from the worst efficiency on, and those without one at the end; of
-- `impossible_efficiency` the highest is the worst. An active session counts up to `now`, because
-- no reading is expected that cannot be there yet.
WITH rollups AS (
    SELECT * FROM vehicle_days WHERE hour >= %(first_day)s AND hour < %(past_day)s
    UNION ALL
    SELECT * FROM vehicle_hours WHERE hour >= %(start)s AND hour < %(first_day)s
    UNION ALL
    SELECT * FROM vehicle_hours WHERE hour >= %(past_day)s AND hour < %(end)s
),
of_vehicles AS (
    SELECT vehicle_id, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
        sum(energy_outside) AS energy_outside, sum(temp_sum) AS temp_sum,
        sum(ac_readings) AS ac_readings, sum(dc_readings) AS dc_readings,
        sum(readings) AS readings, sum(counter_resets) AS counter_resets
    FROM rollups
    GROUP BY vehicle_id
),
overlap AS (
    SELECT vehicle_id, count(*) AS sessions,
        extract(epoch FROM sum(greatest(interval '0',
            least(coalesce(ended_at, %(now)s), %(end)s) - greatest(started_at, %(start)s))))
            AS session_seconds
    FROM charging_sessions
    WHERE tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
    GROUP BY vehicle_id
),
fleet AS MATERIALIZED (
    SELECT vehicle_id,
        coalesce(energy_ac, 0) AS energy_ac, coalesce(energy_dc, 0) AS energy_dc,
        coalesce(energy_outside, 0) AS energy_outside, coalesce(temp_sum, 0) AS temp_sum,
        coalesce(ac_readings, 0) AS ac_readings, coalesce(dc_readings, 0) AS dc_readings,
        coalesce(readings, 0) AS readings, coalesce(counter_resets, 0) AS counter_resets,
        coalesce(sessions, 0) AS sessions, coalesce(session_seconds, 0) AS session_seconds,
        CASE WHEN ac_readings > 0 AND dc_readings > 0 AND sessions > 0
            THEN energy_dc / nullif(energy_ac, 0) END AS ratio
    FROM of_vehicles
    FULL JOIN overlap USING (vehicle_id)
)
SELECT NULL AS vehicle_id, coalesce(sum(energy_ac), 0) AS energy_ac,
    coalesce(sum(energy_dc), 0) AS energy_dc, coalesce(sum(energy_outside), 0) AS energy_outside,
    coalesce(sum(temp_sum), 0) AS temp_sum, coalesce(sum(ac_readings), 0) AS ac_readings,
    coalesce(sum(dc_readings), 0) AS dc_readings, coalesce(sum(readings), 0) AS readings,
    coalesce(sum(counter_resets), 0) AS counter_resets, coalesce(sum(sessions), 0) AS sessions,
    coalesce(sum(session_seconds), 0) AS session_seconds,
    count(*) AS vehicles,
    count(*) FILTER (WHERE ratio < %(low)s) AS low_efficiency,
    count(*) FILTER (WHERE ratio > %(impossible)s) AS impossible_efficiency,
    (SELECT coalesce(min(logged_at), now()) FROM rollup_log) AS as_of
FROM fleet
UNION ALL
(SELECT vehicle_id, energy_ac, energy_dc, energy_outside, temp_sum, ac_readings, dc_readings,
    readings, counter_resets, sessions, session_seconds, NULL, NULL, NULL, NULL
FROM fleet
WHERE %(alert)s::text IS NULL
    OR (%(alert)s = 'low_efficiency' AND ratio < %(low)s)
    OR (%(alert)s = 'impossible_efficiency' AND ratio > %(impossible)s)
ORDER BY CASE WHEN %(alert)s = 'impossible_efficiency' THEN -ratio ELSE ratio END, vehicle_id
LIMIT %(limit)s)
