-- The whole fleet's figures, from the rollups.

-- name: fleet
-- The first row, with a null vehicle_id, holds the whole fleet's sums of [start, end), both whole
-- hours; the whole days in between, from `first_day` up to `past_day`, come from the rollups by day.
-- The other rows are vehicles, from the worst efficiency on, and those that cannot be judged at the
-- end; of `impossible_efficiency` the highest is the worst. An active session counts up to `now`,
-- because no reading is expected that cannot be there yet.
--
-- `judgement` is what api/figures.py makes of the same sums, and as exact: a numeric product is, a
-- quotient is not. That to sort by has 100 decimals more than the energies: enough to tell ratios of
-- energies below 1e38 kWh apart.
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
summed AS (
    SELECT vehicle_id,
        coalesce(energy_ac, 0) AS energy_ac, coalesce(energy_dc, 0) AS energy_dc,
        coalesce(energy_outside, 0) AS energy_outside, coalesce(temp_sum, 0) AS temp_sum,
        coalesce(ac_readings, 0) AS ac_readings, coalesce(dc_readings, 0) AS dc_readings,
        coalesce(readings, 0) AS readings, coalesce(counter_resets, 0) AS counter_resets,
        coalesce(sessions, 0) AS sessions, coalesce(session_seconds, 0) AS session_seconds
    FROM of_vehicles
    FULL JOIN overlap USING (vehicle_id)
),
fleet AS MATERIALIZED (
    SELECT *,
        CASE
            WHEN sessions = 0 THEN 'no_session'
            WHEN ac_readings = 0 OR dc_readings = 0 THEN 'no_readings'
            WHEN energy_ac = 0 THEN 'no_energy'
            WHEN energy_dc < %(low)s * energy_ac THEN 'low_efficiency'
            WHEN energy_dc > %(impossible)s * energy_ac THEN 'impossible_efficiency'
            ELSE 'fine'
        END AS judgement,
        (energy_dc + round(0.0, 100)) / nullif(energy_ac, 0) AS ratio
    FROM summed
)
SELECT NULL AS vehicle_id, coalesce(sum(energy_ac), 0) AS energy_ac,
    coalesce(sum(energy_dc), 0) AS energy_dc, coalesce(sum(energy_outside), 0) AS energy_outside,
    coalesce(sum(temp_sum), 0) AS temp_sum, coalesce(sum(ac_readings), 0) AS ac_readings,
    coalesce(sum(dc_readings), 0) AS dc_readings, coalesce(sum(readings), 0) AS readings,
    coalesce(sum(counter_resets), 0) AS counter_resets, coalesce(sum(sessions), 0) AS sessions,
    coalesce(sum(session_seconds), 0) AS session_seconds,
    count(*) AS vehicles,
    count(*) FILTER (WHERE judgement = 'low_efficiency') AS low_efficiency,
    count(*) FILTER (WHERE judgement = 'impossible_efficiency') AS impossible_efficiency,
    count(*) FILTER (WHERE judgement = 'no_session') AS no_session,
    count(*) FILTER (WHERE judgement = 'no_readings') AS no_readings,
    count(*) FILTER (WHERE judgement = 'no_energy') AS no_energy,
    (SELECT coalesce(min(logged_at), now()) FROM rollup_log) AS as_of,
    EXISTS (SELECT FROM rollup_log WHERE whole)
        OR EXISTS (SELECT FROM rollup_state WHERE energy_reading <> %(energy_reading)s)
        AS being_redone
FROM fleet
UNION ALL
(SELECT vehicle_id, energy_ac, energy_dc, energy_outside, temp_sum, ac_readings, dc_readings,
    readings, counter_resets, sessions, session_seconds,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM fleet
WHERE %(alert)s::text IS NULL OR judgement = %(alert)s
ORDER BY
    CASE judgement
        WHEN 'low_efficiency' THEN 1 WHEN 'fine' THEN 2 WHEN 'impossible_efficiency' THEN 3
        ELSE 4
    END,
    CASE WHEN starts_with(judgement, 'no_') THEN NULL
        WHEN %(alert)s = 'impossible_efficiency' THEN -ratio ELSE ratio END,
    vehicle_id
LIMIT %(limit)s)
