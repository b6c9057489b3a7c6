-- The figures of all vehicles and of all chargers, from the rollups.

-- name: fleet
-- The first row, with a null vehicle_id, holds the whole fleet's sums of [start, end), both whole
-- hours; the whole days in between, from `first_day` up to `past_day`, come from the rollups by day.
-- The other rows are vehicles, from the worst efficiency on, low ones of which it is certain first,
-- and those that cannot be judged at the end; of `impossible_efficiency` the highest is the worst. An
-- active session counts up to `now`, because no reading is expected that cannot be there yet.
--
-- `judgement` and `certain` are what api/figures.py makes of the same sums, and as exact: a numeric
-- product is, a quotient is not. That to sort by has 100 decimals more than the energies: enough to
-- tell ratios of energies below 1e38 kWh apart. A reading that several hours share counts in the
-- first of them that the window has: `*_again` are the hours before that had it, too.
--
-- Expected readings are cut to whole ones once they are summed. They have 100 decimals, so that
-- three thirds are one; the last ten are rounded away, and no part of a reading is as small as those
-- left.
WITH rollups AS (
    -- include: vehicle_rollups
),
added AS (
    SELECT vehicle_id, sum(ac_readings - coalesce(again_since(ac_again, %(start)s), 0)) AS ac_readings,
        sum(dc_readings - coalesce(again_since(dc_again, %(start)s), 0)) AS dc_readings,
        -- include: added_up
    FROM rollups
    GROUP BY vehicle_id
),
session AS MATERIALIZED (
    -- include: sessions_met
),
amiss AS MATERIALIZED (
    -- include: amiss
),
amiss_of AS (
    SELECT vehicle_id, sum(rejected) AS rejected, sum(corrected) AS corrected
    FROM (
        SELECT device_id AS vehicle_id, rejected, corrected
        FROM amiss
        WHERE topic = %(vehicle_topic)s
        UNION ALL
        SELECT vehicle_id, rejected, corrected
        FROM amiss
        JOIN (SELECT DISTINCT vehicle_id, meter_id FROM session) AS used ON meter_id = device_id
        WHERE topic = %(meter_topic)s) AS found
    GROUP BY vehicle_id
),
overlap AS (
    -- include: overlap of vehicle
),
summed AS (
    -- include: summed of vehicle
),
judged AS MATERIALIZED (
    -- include: judged
)
SELECT NULL AS vehicle_id,
    -- include: totals
    ,
    (SELECT coalesce(sum(amiss.rejected), 0) FROM amiss
     WHERE (topic = %(vehicle_topic)s AND device_id IN (SELECT vehicle_id FROM judged))
        OR (topic = %(meter_topic)s AND device_id IN (SELECT meter_id FROM session))) AS rejected,
    (SELECT coalesce(sum(amiss.corrected), 0) FROM amiss
     WHERE (topic = %(vehicle_topic)s AND device_id IN (SELECT vehicle_id FROM judged))
        OR (topic = %(meter_topic)s AND device_id IN (SELECT meter_id FROM session))) AS corrected,
    -- include: alert_counts
FROM judged
UNION ALL
(SELECT vehicle_id,
    -- include: sums_of_one
    ,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM judged
-- include: worst_first of vehicle
)

-- name: chargers
-- The same of chargers: what their sessions add up to. Each row also has the counts of all; when none
-- was asked for, the only row has a null meter_id.
WITH rollups AS (
    SELECT *, 0.0 AS energy_outside, 0.0 AS temp_sum, 0 AS readings, 0 AS untempered
    FROM charger_hours
    WHERE hour >= %(start)s AND hour < %(end)s
),
added AS (
    SELECT meter_id, sum(ac_readings - coalesce(again_since(ac_again, %(start)s), 0)) AS ac_readings,
        sum(dc_readings - coalesce(again_since(dc_again, %(start)s), 0)) AS dc_readings,
        -- include: added_up
    FROM rollups
    GROUP BY meter_id
),
session AS MATERIALIZED (
    -- include: sessions_met
),
amiss AS MATERIALIZED (
    -- include: amiss
),
amiss_of AS (
    SELECT meter_id, sum(rejected) AS rejected, sum(corrected) AS corrected
    FROM (
        SELECT device_id AS meter_id, rejected, corrected FROM amiss WHERE topic = %(meter_topic)s
        UNION ALL
        -- Of a vehicle what lies in its sessions here.
        SELECT meter_id, (
            SELECT count(*)
            FROM rejected_records AS record
            WHERE record.device_id = vehicle_id AND record.topic = %(vehicle_topic)s
                AND resolved_at IS NULL AND NOT same_energy AND rejected > 0
                AND reading_at >= since AND reading_at < until
        ), CASE WHEN corrected > 0 THEN corrected_count('vehicle', vehicle_id, since, until) END
        FROM session
        JOIN amiss ON device_id = vehicle_id AND topic = %(vehicle_topic)s
        CROSS JOIN LATERAL (SELECT greatest(started_at, %(start)s) AS since,
            least(ended_at, %(end)s) AS until) AS during) AS found
    GROUP BY meter_id
),
overlap AS (
    -- include: overlap of meter
),
summed AS (
    -- include: summed of meter
),
judged AS MATERIALIZED (
    -- include: judged
),
counted AS (
    SELECT
        -- include: alert_counts
    FROM judged
),
page AS (
    SELECT meter_id, row_number() OVER () AS rank,
        -- include: sums_of_one
    FROM (
        SELECT *
        FROM judged
        -- include: worst_first of meter
    ) AS worst
)
SELECT page.*, coalesce(vehicles, 0) AS vehicles, location, counted.*
FROM counted
LEFT JOIN page ON true
LEFT JOIN (
    SELECT meter_id, count(*) AS vehicles
    FROM (SELECT DISTINCT meter_id, vehicle_id FROM session) AS pair
    GROUP BY meter_id) AS met USING (meter_id)
LEFT JOIN meters USING (meter_id)
ORDER BY rank

-- fragment: vehicle_rollups
-- Of the window, the whole days from the rollups by day.
SELECT * FROM vehicle_days WHERE hour >= %(first_day)s AND hour < %(past_day)s
UNION ALL
SELECT * FROM vehicle_hours WHERE hour >= %(start)s AND hour < %(first_day)s
UNION ALL
SELECT * FROM vehicle_hours WHERE hour >= %(past_day)s AND hour < %(end)s

-- fragment: added_up
-- The sums of rollups, but for readings that several of them have.
sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc, sum(energy_outside) AS energy_outside,
sum(temp_sum) AS temp_sum, sum(readings) AS readings, sum(readings - untempered) AS temps,
sum(counter_resets) AS counter_resets, sum(dips) AS dips, sum(spikes) AS spikes,
sum(implausible) AS implausible, sum(estimated_ac) AS estimated_ac,
sum(estimated_dc) AS estimated_dc, sum(coalesce(ac_seconds, 60 * ac_readings)) AS ac_seconds,
sum(coalesce(dc_seconds, 60 * dc_readings)) AS dc_seconds

-- fragment: sessions_met
-- The sessions that overlap the window.
SELECT session.vehicle_id, session.meter_id, started_at, ended_at,
    greatest(0, extract(epoch FROM
        least(coalesce(ended_at, %(now)s), %(end)s, %(now)s) - greatest(started_at, %(start)s)))
        AS seconds,
    coalesce(meters.report_seconds, %(report_seconds)s, 60) AS ac_pace_s,
    coalesce(vehicles.report_seconds, %(report_seconds)s, 60) AS dc_pace_s
FROM charging_sessions AS session
JOIN meters USING (meter_id)
JOIN vehicles USING (vehicle_id)
WHERE tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)

-- fragment: amiss
-- How many readings of each device were rejected or corrected.
SELECT topic, device_id, count(*) AS rejected, 0 AS corrected
FROM rejected_records
WHERE resolved_at IS NULL AND NOT same_energy
    AND reading_at >= %(start)s AND reading_at < %(end)s
GROUP BY topic, device_id
UNION ALL
SELECT CASE stream WHEN 'meter' THEN %(meter_topic)s ELSE %(vehicle_topic)s END, device_id, 0,
    corrected_count(stream, device_id, %(start)s, %(end)s)
FROM corrections
WHERE undone_at IS NULL AND ((first < %(end)s AND past > %(start)s)
    OR (first + shift_by < %(end)s AND past + shift_by > %(start)s))
GROUP BY stream, device_id

-- fragment: overlap
-- How long the sessions of each {id} are, and how many readings they expect.
SELECT {id}, count(*) AS sessions, sum(seconds) AS session_seconds,
    sum((seconds + round(0.0, 100)) / ac_pace_s) AS ac_expected,
    sum((seconds + round(0.0, 100)) / dc_pace_s) AS dc_expected
FROM session
GROUP BY {id}

-- fragment: sums_or_zero
-- Sums of rollups, which may be none; what is covered is at most what there is.
coalesce(energy_ac, 0) AS energy_ac, coalesce(energy_dc, 0) AS energy_dc,
coalesce(energy_outside, 0) AS energy_outside, coalesce(temp_sum, 0) AS temp_sum,
coalesce(ac_readings, 0) AS ac_readings, coalesce(dc_readings, 0) AS dc_readings,
coalesce(readings, 0) AS readings, coalesce(temps, 0) AS temps,
coalesce(counter_resets, 0) AS counter_resets, coalesce(dips, 0) AS dips,
coalesce(spikes, 0) AS spikes, coalesce(implausible, 0) AS implausible,
coalesce(estimated_ac, 0) AS estimated_ac, coalesce(estimated_dc, 0) AS estimated_dc,
least(coalesce(ac_seconds, 0), coalesce(session_seconds, 0)) AS ac_seconds,
least(coalesce(dc_seconds, 0), coalesce(session_seconds, 0)) AS dc_seconds

-- fragment: summed
-- Both together.
SELECT {id},
    -- include: sums_or_zero
    ,
    coalesce(sessions, 0) AS sessions, coalesce(session_seconds, 0) AS session_seconds,
    coalesce(ac_expected, 0) AS ac_expected, coalesce(dc_expected, 0) AS dc_expected,
    coalesce(rejected, 0) AS rejected, coalesce(corrected, 0) AS corrected
FROM added
FULL JOIN overlap USING ({id})
LEFT JOIN amiss_of USING ({id})

-- fragment: judged
-- What is said of the sums, and how certain it is.
SELECT *,
    CASE
        WHEN sessions = 0 THEN 'no_session'
        WHEN (ac_readings = 0 AND energy_ac = 0) OR (dc_readings = 0 AND energy_dc = 0)
            THEN 'no_readings'
        WHEN energy_ac = 0 THEN 'no_energy'
        WHEN energy_dc < %(low)s * energy_ac THEN 'low_efficiency'
        WHEN energy_dc > %(impossible)s * energy_ac THEN 'impossible_efficiency'
        ELSE 'fine'
    END AS judgement,
    ac_seconds >= %(complete)s * session_seconds AND dc_seconds >= %(complete)s * session_seconds
        AND estimated_ac <= %(estimated)s * energy_ac
        AND estimated_dc <= %(estimated)s * energy_dc
        AND implausible = 0 AND rejected = 0 AS certain,
    implausible > 0 AND sessions > 0 AND (ac_readings > 0 OR energy_ac > 0)
        AND (dc_readings > 0 OR energy_dc > 0) AS has_implausible,
    (energy_dc + round(0.0, 100)) / nullif(energy_ac, 0) AS ratio
FROM summed

-- fragment: totals
-- The sums of all.
coalesce(sum(energy_ac), 0) AS energy_ac,
coalesce(sum(energy_dc), 0) AS energy_dc, coalesce(sum(energy_outside), 0) AS energy_outside,
coalesce(sum(temp_sum), 0) AS temp_sum, coalesce(sum(ac_readings), 0) AS ac_readings,
coalesce(sum(dc_readings), 0) AS dc_readings, coalesce(sum(readings), 0) AS readings,
coalesce(sum(temps), 0) AS temps, coalesce(sum(counter_resets), 0) AS counter_resets,
coalesce(sum(dips), 0) AS dips, coalesce(sum(spikes), 0) AS spikes,
coalesce(sum(implausible), 0) AS implausible, coalesce(sum(estimated_ac), 0) AS estimated_ac,
coalesce(sum(estimated_dc), 0) AS estimated_dc, coalesce(sum(ac_seconds), 0) AS ac_seconds,
coalesce(sum(dc_seconds), 0) AS dc_seconds, coalesce(sum(sessions), 0) AS sessions,
coalesce(sum(session_seconds), 0) AS session_seconds,
floor(round(coalesce(sum(ac_expected), 0), 90)) AS ac_expected,
floor(round(coalesce(sum(dc_expected), 0), 90)) AS dc_expected

-- fragment: sums_of_one
energy_ac, energy_dc, energy_outside, temp_sum, ac_readings, dc_readings,
readings, temps, counter_resets, dips, spikes, implausible, estimated_ac, estimated_dc,
ac_seconds, dc_seconds, sessions, session_seconds, floor(round(ac_expected, 90)) AS ac_expected,
floor(round(dc_expected, 90)) AS dc_expected, rejected, corrected

-- fragment: alert_counts
-- How many there are, with which alerts; and what the rollups have taken in.
count(*) AS devices,
count(*) FILTER (WHERE judgement = 'low_efficiency') AS low_efficiency,
count(*) FILTER (WHERE judgement = 'impossible_efficiency') AS impossible_efficiency,
count(*) FILTER (WHERE has_implausible) AS implausible_energy,
count(*) FILTER (WHERE judgement = 'low_efficiency' AND certain) AS certain_low_efficiency,
count(*) FILTER (WHERE judgement = 'impossible_efficiency' AND certain)
    AS certain_impossible_efficiency,
count(*) FILTER (WHERE has_implausible AND certain) AS certain_implausible_energy,
count(*) FILTER (WHERE judgement = 'no_session') AS no_session,
count(*) FILTER (WHERE judgement = 'no_readings') AS no_readings,
count(*) FILTER (WHERE judgement = 'no_energy') AS no_energy,
-- include: freshness

-- fragment: freshness
(SELECT coalesce(min(logged_at), now()) FROM rollup_log) AS as_of,
EXISTS (SELECT 1 FROM rollup_log WHERE whole)
    OR EXISTS (
        SELECT 1 FROM rollup_state
        WHERE (energy_reading, edition) <> (%(energy_reading)s, %(edition)s)
            OR report_seconds IS DISTINCT FROM %(report_seconds)s
            OR max_plausible_kw IS DISTINCT FROM %(sane_kw)s)
    AS being_redone

-- fragment: worst_first
-- Those that were asked for, the worst first.
WHERE (%(alert)s::text IS NULL OR judgement = %(alert)s
        OR (%(alert)s = 'implausible_energy' AND has_implausible))
    AND (%(certain)s::boolean IS NULL OR (certain = %(certain)s
        AND (judgement IN ('low_efficiency', 'impossible_efficiency') OR has_implausible)))
ORDER BY
    CASE WHEN starts_with(judgement, 'no_') THEN 4 WHEN judgement <> 'low_efficiency' THEN 3
        WHEN certain THEN 1 ELSE 2 END,
    CASE WHEN starts_with(judgement, 'no_') THEN NULL
        WHEN %(alert)s = 'impossible_efficiency' THEN -ratio ELSE ratio END,
    {id}
LIMIT %(limit)s
