-- A device's readings as they were sent, for the HTTP API. Parameters stand right beside
-- "timestamp", so that only the day partitions of the window are touched.

-- name: one_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: meter_known
-- Whether it is registered or was ever heard of.
SELECT EXISTS (SELECT FROM meters WHERE meter_id = %(id)s)
    OR EXISTS (SELECT FROM meter_live_state WHERE meter_id = %(id)s) AS known

-- name: meter_next
-- The time of the first reading that lies beyond the first `limit`; no row when none does.
SELECT "timestamp"
FROM meter_telemetry_history
WHERE meter_id = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
OFFSET %(limit)s
LIMIT 1

-- name: meter_readings
-- The first `limit`, oldest first, by the names and in the order of a reading as sent.
SELECT meter_id AS "meterId", kwh_consumed_ac AS "kwhConsumedAc", voltage, "timestamp"
FROM meter_telemetry_history
WHERE meter_id = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
LIMIT %(limit)s

-- name: vehicle_known
-- Whether it is registered or was ever heard of.
SELECT EXISTS (SELECT FROM vehicles WHERE vehicle_id = %(id)s)
    OR EXISTS (SELECT FROM vehicle_live_state WHERE vehicle_id = %(id)s) AS known

-- name: vehicle_next
-- The time of the first reading that lies beyond the first `limit`; no row when none does.
SELECT "timestamp"
FROM vehicle_telemetry_history
WHERE vehicle_id = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
OFFSET %(limit)s
LIMIT 1

-- name: vehicle_readings
-- The first `limit`, oldest first, by the names and in the order of a reading as sent.
SELECT vehicle_id AS "vehicleId", soc, kwh_delivered_dc AS "kwhDeliveredDc",
    battery_temp AS "batteryTemp", "timestamp"
FROM vehicle_telemetry_history
WHERE vehicle_id = %(id)s AND "timestamp" >= %(start)s AND "timestamp" < %(end)s
ORDER BY "timestamp"
LIMIT %(limit)s
