-- Figures in stretches of time, from the rollups: the fleet's, a vehicle's, a charger's. The stretches
-- are [firsts[n], pasts[n]), one after the other, and make up [start, end); `place` is n. Each statement
-- returns a row of sums, as `fleet` of fleet.sql does, for the whole with a null place, for each
-- stretch, and, of a charger, for each `car` on it. An energy is in one stretch, so they add up; a
-- session, or a reading with shares in several stretches, counts in each of them, and in the whole once.

-- name: fleet_groups
-- Of the fleet the stretches alone: rollups are added up by these first, since there are many.
WITH stored AS (
    SELECT (%(firsts)s::timestamptz[])[place] AS hour, NULL AS vehicle_id, NULL AS car,
        sum(ac_readings - coalesce(again_since(ac_again, (%(firsts)s::timestamptz[])[place]), 0))
            AS ac_readings,
        sum(dc_readings - coalesce(again_since(dc_again, (%(firsts)s::timestamptz[])[place]), 0))
            AS dc_readings,
        NULL::timestamptz[] AS ac_again, NULL::timestamptz[] AS dc_again,
        sum(untempered) AS untempered,
        -- include: added_up
    FROM (
        -- include: vehicle_rollups
    ) AS rollup
    CROSS JOIN LATERAL (SELECT width_bucket(hour, %(firsts)s::timestamptz[]) AS place) AS found
    GROUP BY place
),
session AS MATERIALIZED (
    SELECT *, NULL AS car FROM (
        -- include: sessions_met
    ) AS session
),
device AS (
    SELECT %(vehicle_topic)s AS topic, vehicle_id AS device_id, NULL AS car,
        '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    FROM (
        -- include: vehicle_rollups
    ) AS rollup
    UNION
    -- include: devices_met
),
-- include: sums_by_place

-- name: vehicle_groups
WITH stored AS (
    SELECT rollup.*, NULL AS car
    FROM (
        SELECT vehicle_days.*
        FROM generate_series(%(first_day)s, %(past_day)s - interval '1 microsecond', '1 day') AS day
        JOIN vehicle_days ON hour = day AND vehicle_id = %(vehicle_id)s
        UNION ALL
        SELECT vehicle_hours.*
        FROM generate_series(%(start)s, %(end)s - interval '1 microsecond', '1 hour') AS each
        JOIN vehicle_hours ON hour = each AND vehicle_id = %(vehicle_id)s
        WHERE each < %(first_day)s OR each >= %(past_day)s) AS rollup
),
session AS MATERIALIZED (
    SELECT *, NULL AS car FROM (
        -- include: sessions_met
    ) AS session
    WHERE vehicle_id = %(vehicle_id)s
),
device AS (
    SELECT %(vehicle_topic)s AS topic, %(vehicle_id)s AS device_id, NULL AS car,
        '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    UNION
    -- include: devices_met
),
-- include: sums_by_place

-- name: charger_groups
WITH stored AS (
    SELECT *, vehicle_id AS car, 0.0 AS energy_outside, 0.0 AS temp_sum, 0 AS readings,
        0 AS untempered
    FROM charger_hours
    WHERE meter_id = %(meter_id)s AND hour >= %(start)s AND hour < %(end)s
),
session AS MATERIALIZED (
    SELECT *, vehicle_id AS car FROM (
        -- include: sessions_met
    ) AS session
    WHERE meter_id = %(meter_id)s
),
device AS (
    SELECT %(meter_topic)s AS topic, %(meter_id)s AS device_id, NULL AS car,
        '-infinity'::timestamptz AS since, 'infinity'::timestamptz AS until
    UNION
    SELECT %(vehicle_topic)s, vehicle_id, car, started_at, coalesce(ended_at, 'infinity')
    FROM session
),
-- include: sums_by_place

-- fragment: devices_met
-- Those of the sessions; a meter has readings for all vehicles on it. What is amiss about a device
-- counts from `since` until `until`.
SELECT %(vehicle_topic)s, vehicle_id, car, '-infinity'::timestamptz, 'infinity'::timestamptz
FROM session
UNION
SELECT %(meter_topic)s, meter_id, NULL, '-infinity'::timestamptz, 'infinity'::timestamptz
FROM session

-- fragment: sums_by_place
added AS (
    SELECT coalesce(place, 0) AS place, coalesce(car, '') AS car, grouping(place, car) AS kind,
        sum(ac_readings) - coalesce(CASE grouping(place)
            WHEN 0 THEN sum(again_since(ac_again, first))
            ELSE sum(again_since(ac_again, %(start)s)) END, 0) AS ac_readings,
        sum(dc_readings) - coalesce(CASE grouping(place)
            WHEN 0 THEN sum(again_since(dc_again, first))
            ELSE sum(again_since(dc_again, %(start)s)) END, 0) AS dc_readings,
        -- include: added_up
    FROM stored
    CROSS JOIN LATERAL (SELECT width_bucket(hour, %(firsts)s::timestamptz[]) AS place) AS found
    CROSS JOIN LATERAL (SELECT (%(firsts)s::timestamptz[])[place] AS first) AS stretch
    GROUP BY GROUPING SETS ((), (place), (car))
),
part AS (
    SELECT session.*, place, place = first_place AS is_first,
        greatest(0, extract(epoch FROM least(coalesce(ended_at, %(now)s), past, %(now)s)
            - greatest(started_at, first))) AS part_seconds
    FROM session
    CROSS JOIN LATERAL (
        SELECT greatest(1, width_bucket(started_at, %(firsts)s::timestamptz[])) AS first_place,
            width_bucket(least(ended_at, %(end)s) - interval '1 microsecond',
                %(firsts)s::timestamptz[]) AS last_place) AS reaches
    CROSS JOIN LATERAL generate_series(first_place, last_place) AS place
    CROSS JOIN LATERAL (SELECT (%(firsts)s::timestamptz[])[place] AS first,
        (%(pasts)s::timestamptz[])[place] AS past) AS stretch
),
overlap AS (
    SELECT coalesce(place, 0) AS place, coalesce(car, '') AS car, grouping(place, car) AS kind,
        count(*) FILTER (WHERE is_first) AS started, count(*) AS sessions,
        count(DISTINCT vehicle_id) AS vehicles, sum(part_seconds) AS session_seconds,
        sum((part_seconds + round(0.0, 100)) / ac_pace_s) AS ac_expected,
        sum((part_seconds + round(0.0, 100)) / dc_pace_s) AS dc_expected
    FROM part
    GROUP BY GROUPING SETS ((), (place), (car))
),
amiss AS (
    SELECT car, width_bucket(reading_at, %(firsts)s::timestamptz[]) AS place, count(*) AS rejected,
        0 AS corrected
    FROM rejected_records
    JOIN device USING (topic, device_id)
    WHERE resolved_at IS NULL AND NOT same_energy
        AND reading_at >= %(start)s AND reading_at < %(end)s
        AND reading_at >= since AND reading_at < until
    GROUP BY 1, 2
    UNION ALL
    SELECT car, place, 0, corrected_count(stream, device_id, greatest(begun, since), least(ended, until))
    FROM (
        SELECT DISTINCT stream, device_id, car, place, begun, ended, since, until
        FROM corrections
        JOIN device USING (device_id)
        JOIN unnest(%(firsts)s::timestamptz[], %(pasts)s::timestamptz[]) WITH ORDINALITY
            AS stretch (begun, ended, place)
            ON (first < ended AND past > begun)
            OR (first + shift_by < ended AND past + shift_by > begun)
        WHERE undone_at IS NULL AND greatest(begun, since) < least(ended, until)
            AND topic = CASE stream WHEN 'meter' THEN %(meter_topic)s ELSE %(vehicle_topic)s END)
        AS touched
),
amiss_of AS (
    SELECT coalesce(place, 0) AS place, coalesce(car, '') AS car, grouping(place, car) AS kind,
        sum(rejected) AS rejected, sum(corrected) AS corrected
    FROM amiss
    GROUP BY GROUPING SETS ((), (place), (car))
),
asked AS (
    SELECT 0 AS place, '' AS car, 3 AS kind
    UNION ALL
    SELECT place, '', 1 FROM generate_series(1, cardinality(%(firsts)s::timestamptz[])) AS place
    UNION ALL
    (SELECT 0, car, 2 FROM added WHERE kind = 2 AND car <> ''
    UNION
    SELECT 0, car, 2 FROM overlap WHERE kind = 2 AND car <> '')
)
SELECT nullif(asked.place, 0) AS place, nullif(asked.car, '') AS car,
    -- include: sums_or_zero
    ,
    coalesce(CASE asked.kind WHEN 1 THEN sessions ELSE started END, 0) AS sessions,
    coalesce(vehicles, 0) AS vehicles, coalesce(session_seconds, 0) AS session_seconds,
    floor(round(coalesce(ac_expected, 0), 90)) AS ac_expected,
    floor(round(coalesce(dc_expected, 0), 90)) AS dc_expected,
    coalesce(amiss_of.rejected, 0) + coalesce(of_meter.rejected, 0) AS rejected,
    coalesce(amiss_of.corrected, 0) + coalesce(of_meter.corrected, 0) AS corrected
FROM asked
LEFT JOIN added USING (place, car, kind)
LEFT JOIN overlap USING (place, car, kind)
LEFT JOIN amiss_of USING (place, car, kind)
LEFT JOIN amiss_of AS of_meter
    ON asked.kind = 2 AND of_meter.kind = 2 AND of_meter.car = '' AND asked.car <> ''
ORDER BY asked.kind, asked.place, asked.car

-- name: elsewhere
-- What these vehicles did on all other chargers meanwhile; those that had no session there are left out.
SELECT vehicle_id, chargers, coalesce(energy_ac, 0) AS energy_ac, coalesce(energy_dc, 0) AS energy_dc
FROM (
    SELECT vehicle_id, count(DISTINCT meter_id) AS chargers
    FROM charging_sessions
    WHERE vehicle_id = ANY (%(vehicle_ids)s) AND meter_id <> %(meter_id)s
        AND tstzrange(started_at, ended_at) && tstzrange(%(start)s, %(end)s)
    GROUP BY vehicle_id) AS met
LEFT JOIN (
    SELECT vehicle_id, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc
    FROM charger_hours
    WHERE vehicle_id = ANY (%(vehicle_ids)s) AND meter_id <> %(meter_id)s
        AND hour >= %(start)s AND hour < %(end)s
    GROUP BY vehicle_id) AS charged USING (vehicle_id)

-- name: charger
-- Whether the meter is registered or was ever heard of, where it is, and what the rollups have taken in.
SELECT EXISTS (SELECT 1 FROM meters WHERE meter_id = %(meter_id)s)
        OR EXISTS (SELECT 1 FROM meter_live_state WHERE meter_id = %(meter_id)s) AS known,
    (SELECT location FROM meters WHERE meter_id = %(meter_id)s) AS location,
    -- include: freshness

-- name: vehicle
SELECT EXISTS (SELECT 1 FROM vehicles WHERE vehicle_id = %(vehicle_id)s)
        OR EXISTS (SELECT 1 FROM vehicle_live_state WHERE vehicle_id = %(vehicle_id)s) AS known,
    -- include: freshness
