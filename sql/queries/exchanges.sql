-- Exchanges of registered devices. Triggers note in the rollups' log what an exchange changes.

-- fragment: exchange_columns
exchange_id, exchanged_at AS at, last_of_old, first_of_new, created_at

-- fragment: exchanged_device_is_known
(
    EXISTS (SELECT FROM meters WHERE 'meter' = %(stream)s AND meter_id = %(id)s)
    OR EXISTS (SELECT FROM vehicles WHERE 'vehicle' = %(stream)s AND vehicle_id = %(id)s)
)

-- name: is_known
-- A row when the device is registered.
SELECT WHERE
    -- include: exchanged_device_is_known

-- name: create
-- No row when the device is not registered, or was exchanged at that instant already.
INSERT INTO register_exchanges (stream, device_id, exchanged_at, last_of_old, first_of_new)
SELECT %(stream)s, %(id)s, %(at)s, %(last_of_old)s, %(first_of_new)s
WHERE
    -- include: exchanged_device_is_known
ON CONFLICT (stream, device_id, exchanged_at) DO NOTHING
RETURNING
    -- include: exchange_columns

-- name: page
-- Oldest first, from beyond `after` unless it is null.
SELECT
    -- include: exchange_columns
FROM register_exchanges
WHERE stream = %(stream)s AND device_id = %(id)s
    AND (%(after)s::timestamptz IS NULL OR exchanged_at > %(after)s)
ORDER BY exchanged_at
LIMIT %(limit)s

-- name: delete
-- No row when the device has no such exchange.
DELETE FROM register_exchanges
WHERE stream = %(stream)s AND device_id = %(id)s AND exchange_id = %(exchange_id)s
RETURNING exchange_id
