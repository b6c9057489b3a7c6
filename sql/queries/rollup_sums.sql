-- The sums of a step's units, from the readings; and the rollups made of them. `start` and `end`
-- enclose all units, `base_start` and `reach_end` the readings around them as well. Each temporary
-- table is read by the statements that follow it.

-- A span is a stretch of time of one device; increments.sql says what it has. A plain one is an hour
-- whose increments all belong to one session, or to none, since the device's readings say energy since
-- the last one, a quarter of an hour ago at most, and no session begins or ends near: its readings are
-- added up as they are.

-- fragment: edges
-- Whether a session of the device that belongs to {id} begins or ends in the hour, or so near before it
-- that readings of the hour may belong to it; and whether one contains the hour's beginning, on `meter_at_start`.
SELECT coalesce(bool_or(started_at > hour - 2 * coalesce(pace, '0')
        OR ended_at <= hour + interval '1 hour'), false) AS has_edges,
    coalesce(bool_or(started_at <= hour AND ended_at > hour), false) AS in_session,
    max(sessions.meter_id) FILTER (WHERE started_at <= hour AND ended_at > hour) AS meter_at_start
FROM sessions
WHERE sessions.{id} = device_id AND started_at <= hour + interval '1 hour'
    AND ended_at >= hour - 2 * coalesce(pace, '0')

-- name: find_session_spans
-- The units' sessions, cut to the hour; a span is the meter's. `until` is where the session stands now.
CREATE TEMP TABLE session_spans ON COMMIT DROP AS
SELECT span.*, is_corrected, NOT is_register AND NOT is_corrected AND NOT has_edges
    AND coalesce(pace, '0') <= '15 minutes' AS is_plain
FROM (
    SELECT hour, unit.vehicle_id, session_id, session.meter_id AS device_id,
        greatest(started_at, hour) AS start,
        least(ended_at, hour + interval '1 hour')
            + CASE WHEN ended_at = started_at THEN interval '1 microsecond' ELSE '0' END AS past,
        least(ended_at, hour + interval '1 hour', now()) AS until, is_like.*
    FROM units AS unit
    JOIN sessions AS session
        ON session.vehicle_id = unit.vehicle_id AND started_at < hour + interval '1 hour'
        AND (ended_at > hour OR (ended_at = hour AND started_at = hour))
    JOIN meters ON meters.meter_id = session.meter_id
    CROSS JOIN LATERAL (SELECT
        -- include: meter_like
    ) AS is_like) AS span
CROSS JOIN LATERAL (SELECT
    -- include: is_corrected of meter
) AS changed (is_corrected)
CROSS JOIN LATERAL (
    -- include: edges of meter
) AS edges

-- name: find_vehicle_spans
-- The units' hours; a span is the vehicle's. Of a plain one, `in_session` says whether it is all in one.
CREATE TEMP TABLE vehicle_spans ON COMMIT DROP AS
SELECT span.*, is_corrected, in_session, meter_at_start,
    NOT is_register AND NOT is_corrected AND NOT has_edges AND coalesce(pace, '0') <= '15 minutes' AS is_plain
FROM (
    SELECT hour, NULL::uuid AS session_id, unit.vehicle_id AS device_id, hour AS start, hour + interval '1 hour' AS past,
        is_like.*
    FROM units AS unit
    LEFT JOIN vehicles ON vehicles.vehicle_id = unit.vehicle_id
    CROSS JOIN LATERAL (SELECT
        -- include: vehicle_like
    ) AS is_like) AS span
CROSS JOIN LATERAL (SELECT
    -- include: is_corrected of vehicle
) AS changed (is_corrected)
CROSS JOIN LATERAL (
    -- include: edges of vehicle
) AS edges

-- name: sum_plain_meters
-- A row for each plain span, without those that hold a reading which may be implausible.
CREATE TEMP TABLE ac_sums ON COMMIT DROP AS
SELECT hour, vehicle_id, session_id, device_id AS meter_id, energy, 0.0 AS estimated, readings,
    0::bigint AS counter_resets, 0::bigint AS dips, 0::bigint AS spikes, 0::bigint AS implausible,
    NULL::timestamptz[] AS again
FROM session_spans AS span
CROSS JOIN LATERAL (
    SELECT total_kwh(sum(nwh(kwh_consumed_ac)), sum(other_kwh(kwh_consumed_ac))) AS energy,
        count(*) AS readings, count(*) FILTER (WHERE kwh_consumed_ac > least_doubted) AS doubted
    FROM meter_telemetry_history
    CROSS JOIN LATERAL (
        -- include: least_doubted
    ) AS doubt
    WHERE meter_id = span.device_id AND "timestamp" >= span.start AND "timestamp" < span.past
        AND "timestamp" >= %(start)s AND "timestamp" < %(end)s) AS sums
WHERE is_plain AND doubted = 0

-- name: sum_other_meters
INSERT INTO ac_sums
SELECT span.hour, span.vehicle_id, span.session_id, span.device_id, sum(energy), sum(estimated),
    -- include: readings_of_hour
FROM session_spans AS span
CROSS JOIN LATERAL (
    -- include: shares of meter
) AS share
WHERE share.session_id = span.session_id AND NOT EXISTS (
    SELECT FROM ac_sums AS done WHERE done.hour = span.hour AND done.session_id = span.session_id)
GROUP BY span.hour, span.vehicle_id, span.session_id, span.device_id

-- fragment: readings_of_hour
-- A reading counts in an hour once; `again` are the hours before that have it, too.
count(*) FILTER (WHERE share.session_id IS NOT NULL AND NOT is_edge
    AND (earlier IS NULL OR earlier < span.hour)),
count(*) FILTER (WHERE counts AND is_reset), count(*) FILTER (WHERE counts AND is_dip),
count(*) FILTER (WHERE counts AND is_spike), count(*) FILTER (WHERE counts AND is_implausible),
array_agg(date_bin('1 hour', earlier, 'epoch')) FILTER (WHERE earlier < span.hour AND NOT is_edge)

-- name: sum_read
-- A row for each vehicle's hour in which it was read, whatever that was.
CREATE TEMP TABLE read_sums ON COMMIT DROP AS
SELECT hour, device_id AS vehicle_id, is_plain AND doubted = 0 AS is_plain, in_session,
    meter_at_start, energy, readings, readings - temps AS untempered, temp_sum
FROM vehicle_spans AS span
CROSS JOIN LATERAL (
    SELECT total_kwh(sum(nwh(kwh_delivered_dc)), sum(other_kwh(kwh_delivered_dc))) AS energy,
        count(*) AS readings, count(battery_temp) AS temps,
        coalesce(total_celsius(sum(exact_temp(battery_temp))), 0) AS temp_sum,
        count(*) FILTER (WHERE kwh_delivered_dc > least_doubted) AS doubted
    FROM (
        -- include: readings_of_span of vehicle
    ) AS reading
    CROSS JOIN LATERAL (
        -- include: least_doubted
    ) AS doubt) AS sums
WHERE readings > 0

-- name: sum_plain_vehicles
-- A row for each vehicle's hour and meter that its sessions are on; without a meter, what lies in none.
-- `readings_here` and `again_here` are about that meter alone: a reading may be several meters'.
CREATE TEMP TABLE dc_sums ON COMMIT DROP AS
SELECT hour, vehicle_id, meter_at_start AS meter_id, energy, 0.0 AS estimated,
    CASE WHEN in_session THEN readings ELSE 0 END AS readings, 0::bigint AS counter_resets,
    0::bigint AS dips, 0::bigint AS spikes, 0::bigint AS implausible, NULL::timestamptz[] AS again,
    CASE WHEN in_session THEN readings ELSE 0 END AS readings_here, NULL::timestamptz[] AS again_here
FROM read_sums
WHERE is_plain

-- name: sum_other_vehicles
INSERT INTO dc_sums
SELECT hour, vehicle_id, meter_id, energy, estimated, readings, counter_resets, dips, spikes, implausible,
    again, readings_here, again_here
FROM (
    SELECT span.hour, span.device_id, share.session_id, sum(energy), sum(estimated),
        -- include: readings_of_hour
        , count(*) FILTER (WHERE share.session_id IS NOT NULL
            AND (earlier_here IS NULL OR earlier_here < span.hour)),
        array_agg(date_bin('1 hour', earlier_here, 'epoch')) FILTER (WHERE earlier_here < span.hour)
    FROM vehicle_spans AS span
    CROSS JOIN LATERAL (
        -- include: shares of vehicle
    ) AS share
    CROSS JOIN LATERAL (SELECT CASE WHEN earlier IS NOT NULL THEN (
        -- The instant of the share before it that a session on the same meter has.
        SELECT max(CASE WHEN before.ended_at <= t THEN before.ended_at - interval '1 microsecond'
            ELSE t END)
        FROM charging_sessions AS mine
        JOIN charging_sessions AS before USING (vehicle_id, meter_id)
        WHERE mine.session_id = share.session_id AND before.started_at < mine.started_at
            AND tstzrange(before.started_at, before.ended_at) && tstzrange(p, t)) END AS earlier_here
        ) AS here
    WHERE instant IS NOT NULL AND (NOT is_plain OR EXISTS (
        SELECT FROM read_sums AS read
        WHERE read.hour = span.hour AND read.vehicle_id = span.device_id AND NOT read.is_plain))
    GROUP BY span.hour, span.device_id, share.session_id
) AS sums (hour, vehicle_id, session_id, energy, estimated, readings, counter_resets, dips, spikes,
    implausible, again, readings_here, again_here)
LEFT JOIN (SELECT session_id, meter_id FROM sessions) AS session USING (session_id)

-- name: sum_covered
-- How many seconds of the vehicle's sessions on a meter in that hour each side's readings speak for.
CREATE TEMP TABLE covered ON COMMIT DROP AS
SELECT hour, vehicle_id, meter_id, coalesce(extract(epoch FROM sum(ac)), 0) AS ac_seconds,
    coalesce(extract(epoch FROM sum(dc)), 0) AS dc_seconds
FROM (
    SELECT hour, vehicle_id, device_id AS meter_id, covered AS ac, NULL::interval AS dc
    FROM (
        SELECT hour, vehicle_id, device_id, start, until AS past, is_register, pace, is_corrected
        FROM session_spans) AS span
    CROSS JOIN LATERAL (
        -- include: covered_of_span of meter
    ) AS covered
    UNION ALL
    SELECT hour, device_id, meter_id, NULL, covered
    FROM (
        SELECT vehicle.hour, vehicle.device_id, session.device_id AS meter_id, session.start,
            until AS past, vehicle.is_register, vehicle.pace, vehicle.is_corrected
        FROM session_spans AS session
        JOIN vehicle_spans AS vehicle
            ON vehicle.hour = session.hour AND vehicle.device_id = session.vehicle_id) AS span
    CROSS JOIN LATERAL (
        -- include: covered_of_span of vehicle
    ) AS covered) AS covered
GROUP BY hour, vehicle_id, meter_id

-- name: make_vehicle_hours
CREATE TEMP TABLE new_vehicle_hours ON COMMIT DROP AS
WITH ac AS (
    SELECT hour, vehicle_id, sum(energy) AS energy, sum(estimated) AS estimated,
        sum(readings) AS readings, sum(counter_resets) AS counter_resets, sum(dips) AS dips,
        sum(spikes) AS spikes, sum(implausible) AS implausible,
        CASE WHEN bool_or(again IS NOT NULL) THEN (
            SELECT array_agg(before)
            FROM ac_sums AS part
            CROSS JOIN unnest(again) AS before
            WHERE part.hour = whole.hour AND part.vehicle_id = whole.vehicle_id) END AS again
    FROM ac_sums AS whole
    GROUP BY hour, vehicle_id
),
dc AS (
    SELECT hour, vehicle_id, sum(energy) FILTER (WHERE meter_id IS NOT NULL) AS energy,
        sum(energy) FILTER (WHERE meter_id IS NULL) AS energy_outside,
        sum(estimated) AS estimated, sum(readings) AS readings,
        sum(counter_resets) AS counter_resets, sum(dips) AS dips, sum(spikes) AS spikes,
        sum(implausible) AS implausible,
        CASE WHEN bool_or(again IS NOT NULL) THEN (
            SELECT array_agg(before)
            FROM dc_sums AS part
            CROSS JOIN unnest(again) AS before
            WHERE part.hour = whole.hour AND part.vehicle_id = whole.vehicle_id) END AS again
    FROM dc_sums AS whole
    GROUP BY hour, vehicle_id
),
seconds AS (
    SELECT hour, vehicle_id, sum(ac_seconds) AS ac_seconds, sum(dc_seconds) AS dc_seconds
    FROM covered
    GROUP BY hour, vehicle_id
)
SELECT hour, vehicle_id, coalesce(read.readings, 0) AS readings,
    coalesce(untempered, 0) AS untempered, coalesce(temp_sum, 0) AS temp_sum,
    coalesce(ac.readings, 0) AS ac_readings, coalesce(dc.readings, 0) AS dc_readings,
    coalesce(ac.counter_resets, 0) + coalesce(dc.counter_resets, 0) AS counter_resets,
    coalesce(ac.dips, 0) + coalesce(dc.dips, 0) AS dips,
    coalesce(ac.spikes, 0) + coalesce(dc.spikes, 0) AS spikes,
    coalesce(ac.implausible, 0) + coalesce(dc.implausible, 0) AS implausible,
    coalesce(ac.energy, 0) AS energy_ac, coalesce(dc.energy, 0) AS energy_dc,
    coalesce(energy_outside, 0) AS energy_outside, coalesce(ac.estimated, 0) AS estimated_ac,
    coalesce(dc.estimated, 0) AS estimated_dc, coalesce(ac_seconds, 0) AS ac_seconds,
    coalesce(dc_seconds, 0) AS dc_seconds, ac.again AS ac_again, dc.again AS dc_again
FROM units
LEFT JOIN ac USING (hour, vehicle_id)
LEFT JOIN dc USING (hour, vehicle_id)
LEFT JOIN read_sums AS read USING (hour, vehicle_id)
LEFT JOIN seconds USING (hour, vehicle_id)
WHERE read.readings > 0 OR ac.readings + coalesce(cardinality(ac.again), 0) > 0 OR ac.energy <> 0
    OR ac.counter_resets + ac.dips + ac.spikes + ac.implausible > 0
    OR dc.hour IS NOT NULL OR ac_seconds > 0 OR dc_seconds > 0

-- name: find_unit_days
-- The days of the units; `hour` is a day's first.
CREATE TEMP TABLE unit_days ON COMMIT DROP AS
SELECT DISTINCT date_bin('1 day', hour, 'epoch') AS hour, vehicle_id FROM units

-- name: make_vehicle_days
-- A reading that two hours of the day have counts once.
CREATE TEMP TABLE new_vehicle_days ON COMMIT DROP AS
SELECT day.hour, day.vehicle_id, sum(readings) AS readings, sum(untempered) AS untempered,
    sum(temp_sum) AS temp_sum, sum(ac_readings) - coalesce(sum(ac.counted), 0) AS ac_readings,
    sum(dc_readings) - coalesce(sum(dc.counted), 0) AS dc_readings,
    sum(counter_resets) AS counter_resets, sum(dips) AS dips, sum(spikes) AS spikes,
    sum(implausible) AS implausible, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
    sum(energy_outside) AS energy_outside, sum(estimated_ac) AS estimated_ac,
    sum(estimated_dc) AS estimated_dc, sum(coalesce(ac_seconds, 60 * ac_readings)) AS ac_seconds,
    sum(coalesce(dc_seconds, 60 * dc_readings)) AS dc_seconds,
    string_to_array(string_agg(array_to_string(ac.before, ','), ','), ',')::timestamptz[] AS ac_again,
    string_to_array(string_agg(array_to_string(dc.before, ','), ','), ',')::timestamptz[] AS dc_again
FROM unit_days AS day
CROSS JOIN generate_series(0, 23) AS number
JOIN vehicle_hours AS part
    ON part.hour = day.hour + number * interval '1 hour' AND part.vehicle_id = day.vehicle_id
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE before >= day.hour) AS counted,
        array_agg(before) FILTER (WHERE before < day.hour) AS before
    FROM unnest(ac_again) AS before) AS ac ON ac_again IS NOT NULL
LEFT JOIN LATERAL (
    SELECT count(*) FILTER (WHERE before >= day.hour) AS counted,
        array_agg(before) FILTER (WHERE before < day.hour) AS before
    FROM unnest(dc_again) AS before) AS dc ON dc_again IS NOT NULL
GROUP BY day.hour, day.vehicle_id

-- name: delete_vehicle_rows
-- Of {rollup}, vehicle_hours or vehicle_days, those of the {units} that have nothing any more.
DELETE FROM {rollup} AS old
USING {units} AS unit
WHERE old.hour = unit.hour AND old.vehicle_id = unit.vehicle_id
    AND NOT EXISTS (
        SELECT FROM {new} AS new
        WHERE new.hour = old.hour AND new.vehicle_id = old.vehicle_id)

-- name: write_vehicle_rows
INSERT INTO {rollup} AS old (hour, vehicle_id, readings, untempered, temp_sum, ac_readings,
    dc_readings, counter_resets, dips, spikes, implausible, energy_ac, energy_dc, energy_outside,
    estimated_ac, estimated_dc, ac_seconds, dc_seconds, ac_again, dc_again)
SELECT * FROM {new}
ON CONFLICT (hour, vehicle_id) DO UPDATE
SET readings = EXCLUDED.readings, untempered = EXCLUDED.untempered, temp_sum = EXCLUDED.temp_sum,
    ac_readings = EXCLUDED.ac_readings, dc_readings = EXCLUDED.dc_readings,
    counter_resets = EXCLUDED.counter_resets, dips = EXCLUDED.dips, spikes = EXCLUDED.spikes,
    implausible = EXCLUDED.implausible, energy_ac = EXCLUDED.energy_ac,
    energy_dc = EXCLUDED.energy_dc, energy_outside = EXCLUDED.energy_outside,
    estimated_ac = EXCLUDED.estimated_ac, estimated_dc = EXCLUDED.estimated_dc,
    ac_seconds = EXCLUDED.ac_seconds, dc_seconds = EXCLUDED.dc_seconds,
    ac_again = EXCLUDED.ac_again, dc_again = EXCLUDED.dc_again
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)

-- name: make_charger_hours
-- Of each vehicle's hour, what belongs to its sessions on each meter. As `again` is rare, it is
-- carried as text.
CREATE TEMP TABLE new_charger_hours ON COMMIT DROP AS
SELECT hour, vehicle_id, meter_id, sum(ac_readings) AS ac_readings, sum(dc_readings) AS dc_readings,
    sum(counter_resets) AS counter_resets, sum(dips) AS dips, sum(spikes) AS spikes,
    sum(implausible) AS implausible, sum(energy_ac) AS energy_ac, sum(energy_dc) AS energy_dc,
    sum(estimated_ac) AS estimated_ac, sum(estimated_dc) AS estimated_dc,
    sum(ac_seconds) AS ac_seconds, sum(dc_seconds) AS dc_seconds,
    string_to_array(string_agg(ac_again, ','), ',')::timestamptz[] AS ac_again,
    string_to_array(string_agg(dc_again, ','), ',')::timestamptz[] AS dc_again
FROM (
    SELECT hour, vehicle_id, meter_id, readings AS ac_readings, 0 AS dc_readings, counter_resets,
        dips, spikes, implausible, energy AS energy_ac, 0.0 AS energy_dc, estimated AS estimated_ac,
        0.0 AS estimated_dc, 0.0 AS ac_seconds, 0.0 AS dc_seconds,
        array_to_string(again, ',') AS ac_again, NULL AS dc_again
    FROM ac_sums
    UNION ALL
    SELECT hour, vehicle_id, meter_id, 0, readings_here, counter_resets, dips, spikes, implausible,
        0, energy, 0, estimated, 0, 0, NULL, array_to_string(again_here, ',')
    FROM dc_sums
    WHERE meter_id IS NOT NULL
    UNION ALL
    SELECT hour, vehicle_id, meter_id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ac_seconds, dc_seconds, NULL, NULL
    FROM covered) AS part
GROUP BY hour, vehicle_id, meter_id
HAVING sum(ac_readings) + sum(dc_readings) + sum(ac_seconds) + sum(dc_seconds) > 0
    OR count(ac_again) + count(dc_again) > 0 OR sum(energy_ac) <> 0
    OR sum(counter_resets) + sum(dips) + sum(spikes) + sum(implausible) > 0

-- name: delete_charger_rows
DELETE FROM charger_hours AS old
USING units AS unit
WHERE old.hour = unit.hour AND old.vehicle_id = unit.vehicle_id
    AND NOT EXISTS (
        SELECT FROM new_charger_hours AS new
        WHERE new.hour = old.hour AND new.vehicle_id = old.vehicle_id AND new.meter_id = old.meter_id)

-- name: write_charger_rows
INSERT INTO charger_hours AS old (hour, vehicle_id, meter_id, ac_readings, dc_readings, counter_resets,
    dips, spikes, implausible, energy_ac, energy_dc, estimated_ac, estimated_dc, ac_seconds,
    dc_seconds, ac_again, dc_again)
SELECT * FROM new_charger_hours
ON CONFLICT (hour, vehicle_id, meter_id) DO UPDATE
SET ac_readings = EXCLUDED.ac_readings, dc_readings = EXCLUDED.dc_readings,
    counter_resets = EXCLUDED.counter_resets, dips = EXCLUDED.dips, spikes = EXCLUDED.spikes,
    implausible = EXCLUDED.implausible, energy_ac = EXCLUDED.energy_ac,
    energy_dc = EXCLUDED.energy_dc, estimated_ac = EXCLUDED.estimated_ac,
    estimated_dc = EXCLUDED.estimated_dc, ac_seconds = EXCLUDED.ac_seconds,
    dc_seconds = EXCLUDED.dc_seconds, ac_again = EXCLUDED.ac_again, dc_again = EXCLUDED.dc_again
WHERE (old.*) IS DISTINCT FROM (EXCLUDED.*)
