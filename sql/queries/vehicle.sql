-- What a flush does with vehicle readings: staged or straight into history, then live state.
-- meter.sql has the same queries for meters, under the same names.

-- name: create_staging
-- staged_vehicle: rows that may be stored already; `seq` is the order of arrival.
-- newest_vehicle: the newest of each device, on its way into live state.
CREATE TEMP TABLE staged_vehicle (
    seq integer NOT NULL,
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    soc real NOT NULL,
    battery_temp real NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE newest_vehicle (
    kwh_delivered_dc double precision NOT NULL,
    "timestamp" timestamptz NOT NULL,
    soc real NOT NULL,
    battery_temp real NOT NULL,
    vehicle_id text COLLATE "C" NOT NULL
) ON COMMIT DELETE ROWS

-- name: empty_staging
TRUNCATE staged_vehicle, newest_vehicle

-- name: copy_staged
COPY staged_vehicle FROM STDIN (FORMAT binary)

-- name: copy_history
-- Straight into one day partition: routing through the parent costs a twentieth of the rate.
COPY {day_partition} (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)
FROM STDIN (FORMAT binary)

-- name: insert_staged
-- Of several rows with one key the first to arrive stays. Returns the keys that were new.
INSERT INTO vehicle_telemetry_history
    (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)
SELECT kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id
FROM staged_vehicle
ORDER BY vehicle_id, "timestamp", seq
ON CONFLICT DO NOTHING
RETURNING vehicle_id, "timestamp"

-- name: select_conflicts
-- The staged rows that differ from the stored row of their key, with what is stored. OFFSET 0 keeps
-- the planner to one look into the key a staged row: it knows nothing of how many there are, and
-- would rather read history whole. The bounds are those of the staged rows.
SELECT staged.seq, stored.kwh_delivered_dc, stored.soc, stored.battery_temp
FROM staged_vehicle AS staged
CROSS JOIN LATERAL (
    SELECT kwh_delivered_dc, soc, battery_temp
    FROM vehicle_telemetry_history AS history
    WHERE history.vehicle_id = staged.vehicle_id AND history."timestamp" = staged."timestamp"
        AND history."timestamp" BETWEEN from_micros(%s) AND from_micros(%s)
    OFFSET 0) AS stored
WHERE (stored.kwh_delivered_dc, stored.soc, stored.battery_temp) <> (staged.kwh_delivered_dc, staged.soc, staged.battery_temp)

-- name: select_refused
-- The places of the staged rows that are refused, each by itself, and why.
SELECT seq, detail FROM refused_rows('staged_vehicle', $store_one$
    WITH stored AS (
        INSERT INTO vehicle_telemetry_history (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)
        SELECT kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id FROM staged_vehicle WHERE ctid = $1
        ON CONFLICT DO NOTHING
        RETURNING kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id
    )
    INSERT INTO vehicle_live_state AS live (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)
    SELECT kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id FROM stored
    ON CONFLICT (vehicle_id) DO UPDATE
    SET "timestamp" = EXCLUDED."timestamp",
        kwh_delivered_dc = EXCLUDED.kwh_delivered_dc,
        soc = EXCLUDED.soc,
        battery_temp = EXCLUDED.battery_temp
    WHERE live."timestamp" < EXCLUDED."timestamp"
$store_one$)

-- name: select_newest
-- The newest stored time of each of these devices that was ever heard of.
SELECT vehicle_id, "timestamp" FROM vehicle_live_state WHERE vehicle_id = ANY (%s)

-- name: copy_newest
COPY newest_vehicle FROM STDIN (FORMAT binary)

-- name: upsert_live
-- Rows come in key order, so that workers cannot deadlock. Older readings change nothing.
INSERT INTO vehicle_live_state AS live
    (kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id)
SELECT kwh_delivered_dc, "timestamp", soc, battery_temp, vehicle_id
FROM newest_vehicle
ON CONFLICT (vehicle_id) DO UPDATE
SET kwh_delivered_dc = EXCLUDED.kwh_delivered_dc,
    "timestamp" = EXCLUDED."timestamp",
    soc = EXCLUDED.soc,
    battery_temp = EXCLUDED.battery_temp,
    updated_at = now()
WHERE live."timestamp" < EXCLUDED."timestamp"
