-- Devices that have stopped reporting.

-- name: silent
-- One row a silent device, those that fell silent last first, `limit` of them; `meters` and
-- `vehicles` count all of them, `known_meters` and `known_vehicles` the others, too. With none to
-- show, one row without a device. With `retired` all of this is about the devices that are registered
-- as inactive, silent or not, which are left out else. Live state has no index on its time, which
-- would make each flush dearer: this reads it whole, a row a device.
WITH known AS (
    SELECT 'meter' AS stream, meter_id AS device_id, live."timestamp" AS last_reading,
        device.meter_id IS NOT NULL AS registered
    FROM meter_live_state AS live
    FULL JOIN meters AS device USING (meter_id)
    WHERE coalesce(device.is_active, true) <> %(retired)s
    UNION ALL
    SELECT 'vehicle', vehicle_id, live."timestamp", device.vehicle_id IS NOT NULL
    FROM vehicle_live_state AS live
    FULL JOIN vehicles AS device USING (vehicle_id)
    WHERE coalesce(device.is_active, true) <> %(retired)s
),
silent AS (
    SELECT * FROM known
    WHERE last_reading < %(since)s OR last_reading IS NULL OR %(retired)s
),
shown AS (
    SELECT * FROM silent
    ORDER BY last_reading DESC NULLS LAST, stream, device_id
    LIMIT %(limit)s
)
SELECT counted.*, counted_known.*, shown.*
FROM (
    SELECT count(*) FILTER (WHERE stream = 'meter') AS meters,
        count(*) FILTER (WHERE stream = 'vehicle') AS vehicles
    FROM silent) AS counted
CROSS JOIN (
    SELECT count(*) FILTER (WHERE stream = 'meter') AS known_meters,
        count(*) FILTER (WHERE stream = 'vehicle') AS known_vehicles
    FROM known) AS counted_known
LEFT JOIN shown ON true
ORDER BY last_reading DESC NULLS LAST, stream, device_id
