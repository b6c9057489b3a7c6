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
SELECT meter_id, location, capacity_kw, installed_at, metadata, is_active, energy_reading,
    created_at, updated_at
FROM meters
WHERE meter_id > %(after)s
ORDER BY meter_id
LIMIT %(limit)s

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
SELECT vehicle_id, vin, battery_capacity_kwh, model, metadata, is_active, energy_reading,
    created_at, updated_at
FROM vehicles
WHERE vehicle_id > %(after)s
ORDER BY vehicle_id
LIMIT %(limit)s
