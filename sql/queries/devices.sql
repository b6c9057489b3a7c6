-- Registered meters and vehicles. Both have the same queries, under the same names.

-- name: meters_create
-- No row when the meter is registered already.
INSERT INTO meters (meter_id, location, capacity_kw, installed_at, metadata, is_active,
    energy_reading)
VALUES (%(meter_id)s, %(location)s, %(capacity_kw)s, %(installed_at)s, %(metadata)s, %(is_active)s,
    %(energy_reading)s)
ON CONFLICT (meter_id) DO NOTHING
RETURNING meter_id, location, capacity_kw, installed_at, metadata, is_active, energy_reading,
    created_at, updated_at

-- name: meters_change
-- `changes` is a jsonb object by column; columns it does not name keep their values.
UPDATE meters AS old
SET (location, capacity_kw, installed_at, metadata, is_active, energy_reading, updated_at) = (
    SELECT location, capacity_kw, installed_at, metadata, is_active, energy_reading, now()
    FROM jsonb_populate_record(old, %(changes)s))
WHERE meter_id = %(id)s
RETURNING meter_id, location, capacity_kw, installed_at, metadata, is_active, energy_reading,
    created_at, updated_at

-- name: meters_one
SELECT meter_id, location, capacity_kw, installed_at, metadata, is_active, energy_reading,
    created_at, updated_at
FROM meters
WHERE meter_id = %(id)s

-- name: meters_page
-- By id, from beyond `after`: at most `limit`, and none once those before it have `bytes` of
-- metadata, which are counted device by device, so that no more are read.
WITH RECURSIVE page (meter_id, place, bytes_before, bytes) AS (
    (SELECT meter_id, 1, 0, octet_length(metadata::text)
     FROM meters
     WHERE meter_id > %(after)s
     ORDER BY meter_id
     LIMIT 1)
    UNION ALL
    SELECT next.meter_id, place + 1, bytes_before + bytes, octet_length(next.metadata::text)
    FROM page
    CROSS JOIN LATERAL (
        SELECT meter_id, metadata
        FROM meters
        WHERE meter_id > page.meter_id
        ORDER BY meter_id
        LIMIT 1) AS next
    WHERE place < %(limit)s AND bytes_before < %(bytes)s
)
SELECT bytes_before, meter_id, location, capacity_kw, installed_at, metadata, is_active,
    energy_reading, created_at, updated_at
FROM page
JOIN meters USING (meter_id)
ORDER BY meter_id

-- name: vehicles_create
-- No row when the vehicle is registered already.
INSERT INTO vehicles (vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active,
    energy_reading)
VALUES (%(vehicle_id)s, %(vin)s, %(battery_capacity_kwh)s, %(model)s, %(metadata)s, %(is_active)s,
    %(energy_reading)s)
ON CONFLICT (vehicle_id) DO NOTHING
RETURNING vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active, energy_reading,
    created_at, updated_at

-- name: vehicles_change
-- `changes` is a jsonb object by column; columns it does not name keep their values.
UPDATE vehicles AS old
SET (vin, battery_capacity_kwh, model, metadata, is_active, energy_reading, updated_at) = (
    SELECT vin, battery_capacity_kwh, model, metadata, is_active, energy_reading, now()
    FROM jsonb_populate_record(old, %(changes)s))
WHERE vehicle_id = %(id)s
RETURNING vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active, energy_reading,
    created_at, updated_at

-- name: vehicles_one
SELECT vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active, energy_reading,
    created_at, updated_at
FROM vehicles
WHERE vehicle_id = %(id)s

-- name: vehicles_page
-- By id, from beyond `after`: at most `limit`, and none once those before it have `bytes` of
-- metadata, which are counted device by device, so that no more are read.
WITH RECURSIVE page (vehicle_id, place, bytes_before, bytes) AS (
    (SELECT vehicle_id, 1, 0, octet_length(metadata::text)
     FROM vehicles
     WHERE vehicle_id > %(after)s
     ORDER BY vehicle_id
     LIMIT 1)
    UNION ALL
    SELECT next.vehicle_id, place + 1, bytes_before + bytes, octet_length(next.metadata::text)
    FROM page
    CROSS JOIN LATERAL (
        SELECT vehicle_id, metadata
        FROM vehicles
        WHERE vehicle_id > page.vehicle_id
        ORDER BY vehicle_id
        LIMIT 1) AS next
    WHERE place < %(limit)s AND bytes_before < %(bytes)s
)
SELECT bytes_before, vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active,
    energy_reading, created_at, updated_at
FROM page
JOIN vehicles USING (vehicle_id)
ORDER BY vehicle_id
