-- What a flush does with meter readings: staged or straight into history, then live state.
-- vehicle.sql has the same queries for vehicles, under the same names.

-- name: create_staging
-- staged_meter: rows that may be stored already; `seq` is the order of arrival.
-- newest_meter: the newest of each device, on its way into live state.
CREATE TEMP TABLE staged_meter (
    seq integer NOT NULL,
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    voltage real NOT NULL,
    meter_id text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE newest_meter (
    kwh_consumed_ac double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    voltage real NOT NULL,
    meter_id text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS

-- name: empty_staging
TRUNCATE staged_meter, newest_meter

-- name: copy_staged
COPY staged_meter FROM STDIN (FORMAT binary)

-- name: copy_history
-- Straight into one day partition: routing through the parent costs a twentieth of the rate.
COPY {day_partition} (kwh_consumed_ac, "timestamp", voltage, meter_id) FROM STDIN (FORMAT binary)

-- name: insert_staged
-- Of several rows with one key the first to arrive stays. Returns the keys that were new.
INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)
SELECT kwh_consumed_ac, "timestamp", voltage, meter_id
FROM staged_meter
ORDER BY meter_id, "timestamp", seq
ON CONFLICT DO NOTHING
RETURNING meter_id, "timestamp"

-- name: select_conflicts
-- The staged rows that differ from the stored row of their key, with what is stored. OFFSET 0 keeps
-- the planner to one look into the key a staged row: it knows nothing of how many there are, and
-- would rather read history whole. The bounds are those of the staged rows.
SELECT staged.seq, stored.kwh_consumed_ac, stored.voltage
FROM staged_meter AS staged
CROSS JOIN LATERAL (
    SELECT kwh_consumed_ac, voltage
    FROM meter_telemetry_history AS history
    WHERE history.meter_id = staged.meter_id AND history."timestamp" = staged."timestamp"
        AND history."timestamp" BETWEEN from_micros(%s) AND from_micros(%s)
    OFFSET 0) AS stored
WHERE (stored.kwh_consumed_ac, stored.voltage) <> (staged.kwh_consumed_ac, staged.voltage)

-- name: select_refused
-- The places of the staged rows that are refused, each by itself, and why.
SELECT seq, detail FROM refused_rows('staged_meter', $store_one$
    WITH stored AS (
        INSERT INTO meter_telemetry_history (kwh_consumed_ac, "timestamp", voltage, meter_id)
        SELECT kwh_consumed_ac, "timestamp", voltage, meter_id FROM staged_meter WHERE ctid = $1
        ON CONFLICT DO NOTHING
        RETURNING kwh_consumed_ac, "timestamp", voltage, meter_id
    )
    INSERT INTO meter_live_state AS live (kwh_consumed_ac, "timestamp", voltage, meter_id)
    SELECT kwh_consumed_ac, "timestamp", voltage, meter_id FROM stored
    ON CONFLICT (meter_id) DO UPDATE
    SET "timestamp" = EXCLUDED."timestamp",
        kwh_consumed_ac = EXCLUDED.kwh_consumed_ac,
        voltage = EXCLUDED.voltage
    WHERE live."timestamp" < EXCLUDED."timestamp"
$store_one$)

-- name: select_newest
-- The newest stored time of each of these devices that was ever heard of.
SELECT meter_id, "timestamp" FROM meter_live_state WHERE meter_id = ANY (%s)

-- name: copy_newest
COPY newest_meter FROM STDIN (FORMAT binary)

-- name: upsert_live
-- Rows come in key order, so that workers cannot deadlock. Older readings change nothing.
INSERT INTO meter_live_state AS live
    (kwh_consumed_ac, "timestamp", voltage, meter_id)
SELECT kwh_consumed_ac, "timestamp", voltage, meter_id
FROM newest_meter
ON CONFLICT (meter_id) DO UPDATE
SET kwh_consumed_ac = EXCLUDED.kwh_consumed_ac,
    "timestamp" = EXCLUDED."timestamp",
    voltage = EXCLUDED.voltage,
    updated_at = now()
WHERE live."timestamp" < EXCLUDED."timestamp"
