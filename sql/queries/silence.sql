-- Devices that have stopped reporting.

-- name: silent
-- One row a silent device, those that fell silent last first, `limit` of them; `meters` and
-- `vehicles` count all. With none to show, one row without a device. Live state has no index on its
-- time, which would make each flush dearer: this reads it whole, a row a device.
WITH silent AS (
    SELECT 'meter' AS stream, meter_id AS device_id, live."timestamp" AS last_reading
    FROM meter_live_state AS live
    FULL JOIN meters AS device USING (meter_id)
    WHERE coalesce(device.is_active, true)
        AND (live."timestamp" < %(since)s OR live."timestamp" IS NULL)
    UNION ALL
    SELECT 'vehicle', vehicle_id, live."timestamp"
    FROM vehicle_live_state AS live
    FULL JOIN vehicles AS device USING (vehicle_id)
    WHERE coalesce(device.is_active, true)
        AND (live."timestamp" < %(since)s OR live."timestamp" IS NULL)
),
shown AS (
    SELECT * FROM silent
    ORDER BY last_reading DESC NULLS LAST, stream, device_id
    LIMIT %(limit)s
)
SELECT counted.*, shown.*
FROM (
    SELECT count(*) FILTER (WHERE stream = 'meter') AS meters,
        count(*) FILTER (WHERE stream = 'vehicle') AS vehicles
    FROM silent) AS counted
LEFT JOIN shown ON true
ORDER BY last_reading DESC NULLS LAST, stream, device_id
