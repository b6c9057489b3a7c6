-- Registered meters and vehicles. Both have the same queries, under the same names.

-- fragment: meter_fields
location, capacity_kw, installed_at, metadata, is_active, energy_reading, report_seconds,
register_tolerance, register_modulus

-- fragment: vehicle_fields
vin, battery_capacity_kwh, model, max_charge_kw, metadata, is_active, energy_reading,
report_seconds, register_tolerance, register_modulus

-- fragment: meter_sought
-- Of the meters whose id or location has `pattern`, those that are active, or are not, when asked.
(meter_id ILIKE %(pattern)s OR location ILIKE %(pattern)s)
AND is_active = coalesce(%(is_active)s, is_active)

-- fragment: vehicle_sought
-- The same of vehicles: whose id, vin or model has it.
(vehicle_id ILIKE %(pattern)s OR vin ILIKE %(pattern)s OR model ILIKE %(pattern)s)
AND is_active = coalesce(%(is_active)s, is_active)

-- name: meters_create
-- No row when the meter is registered already.
INSERT INTO meters (
    meter_id,
    -- include: meter_fields
)
VALUES (
    %(meter_id)s, %(location)s, %(capacity_kw)s, %(installed_at)s, %(metadata)s, %(is_active)s,
    %(energy_reading)s, %(report_seconds)s, %(register_tolerance)s, %(register_modulus)s)
ON CONFLICT (meter_id) DO NOTHING
RETURNING meter_id, created_at, updated_at,
    -- include: meter_fields

-- name: meters_change
-- `changes` is a jsonb object by column; columns it does not name keep their values.
UPDATE meters AS old
SET (
    updated_at,
    -- include: meter_fields
) = (
    SELECT now(),
        -- include: meter_fields
    FROM jsonb_populate_record(old, %(changes)s))
WHERE meter_id = %(id)s
RETURNING meter_id, created_at, updated_at,
    -- include: meter_fields

-- name: meters_one
SELECT meter_id, created_at, updated_at,
    -- include: meter_fields
FROM meters
WHERE meter_id = %(id)s

-- name: meters_page
-- Those sought by id, from beyond `after`: at most `limit`, and none once those before it have `bytes` of
-- metadata, which are counted device by device, so that no more are read.
WITH RECURSIVE page (meter_id, place, bytes_before, bytes) AS (
    (SELECT meter_id, 1, 0, octet_length(metadata::text)
     FROM meters
     WHERE meter_id > %(after)s AND
         -- include: meter_sought
     ORDER BY meter_id
     LIMIT 1)
    UNION ALL
    SELECT next.meter_id, place + 1, bytes_before + bytes, octet_length(next.metadata::text)
    FROM page
    CROSS JOIN LATERAL (
        SELECT meter_id, metadata
        FROM meters
        WHERE meter_id > page.meter_id AND
            -- include: meter_sought
        ORDER BY meter_id
        LIMIT 1) AS next
    WHERE place < %(limit)s AND bytes_before < %(bytes)s
)
SELECT bytes_before, meter_id, created_at, updated_at,
    -- include: meter_fields
FROM page
JOIN meters USING (meter_id)
ORDER BY meter_id

-- name: vehicles_create
-- No row when the vehicle is registered already.
INSERT INTO vehicles (
    vehicle_id,
    -- include: vehicle_fields
)
VALUES (
    %(vehicle_id)s, %(vin)s, %(battery_capacity_kwh)s, %(model)s, %(max_charge_kw)s,
    %(metadata)s, %(is_active)s, %(energy_reading)s, %(report_seconds)s, %(register_tolerance)s,
    %(register_modulus)s)
ON CONFLICT (vehicle_id) DO NOTHING
RETURNING vehicle_id, created_at, updated_at,
    -- include: vehicle_fields

-- name: vehicles_change
-- `changes` is a jsonb object by column; columns it does not name keep their values.
UPDATE vehicles AS old
SET (
    updated_at,
    -- include: vehicle_fields
) = (
    SELECT now(),
        -- include: vehicle_fields
    FROM jsonb_populate_record(old, %(changes)s))
WHERE vehicle_id = %(id)s
RETURNING vehicle_id, created_at, updated_at,
    -- include: vehicle_fields

-- name: vehicles_one
SELECT vehicle_id, created_at, updated_at,
    -- include: vehicle_fields
FROM vehicles
WHERE vehicle_id = %(id)s

-- name: vehicles_page
-- Those sought by id, from beyond `after`: at most `limit`, and none once those before it have `bytes` of
-- metadata, which are counted device by device, so that no more are read.
WITH RECURSIVE page (vehicle_id, place, bytes_before, bytes) AS (
    (SELECT vehicle_id, 1, 0, octet_length(metadata::text)
     FROM vehicles
     WHERE vehicle_id > %(after)s AND
         -- include: vehicle_sought
     ORDER BY vehicle_id
     LIMIT 1)
    UNION ALL
    SELECT next.vehicle_id, place + 1, bytes_before + bytes, octet_length(next.metadata::text)
    FROM page
    CROSS JOIN LATERAL (
        SELECT vehicle_id, metadata
        FROM vehicles
        WHERE vehicle_id > page.vehicle_id AND
            -- include: vehicle_sought
        ORDER BY vehicle_id
        LIMIT 1) AS next
    WHERE place < %(limit)s AND bytes_before < %(bytes)s
)
SELECT bytes_before, vehicle_id, created_at, updated_at,
    -- include: vehicle_fields
FROM page
JOIN vehicles USING (vehicle_id)
ORDER BY vehicle_id
