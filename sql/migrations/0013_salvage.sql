-- oldest code: 0004

-- A reading's energy may be kept although another of its values was of no use: NULL in its place.
ALTER TABLE meter_telemetry_history ALTER voltage DROP NOT NULL;
ALTER TABLE vehicle_telemetry_history ALTER soc DROP NOT NULL, ALTER battery_temp DROP NOT NULL;
ALTER TABLE meter_live_state ALTER voltage DROP NOT NULL;
ALTER TABLE vehicle_live_state ALTER soc DROP NOT NULL, ALTER battery_temp DROP NOT NULL;

-- Live state yields from a time in the future to a reading of the present: `newest_at` is then the
-- newest time there is of the device. NULL where that is live state's own.
ALTER TABLE meter_live_state ADD newest_at timestamptz;
ALTER TABLE vehicle_live_state ADD newest_at timestamptz;

-- `reading_at`: the rejected reading's own time, where it can be read. `same_energy`: a conflict that
-- would have changed no energy. `changed`: how it was changed to be stored, such as `drop soc`.
-- `repaired`: the reading is stored without what was wrong in it.
ALTER TABLE rejected_records
    ADD reading_at timestamptz,
    ADD same_energy boolean NOT NULL DEFAULT false,
    ADD changed text,
    DROP CONSTRAINT rejected_records_reason_check,
    ADD CONSTRAINT rejected_records_reason_check CHECK (reason IN (
        'malformed', 'invalid', 'too_old', 'in_future', 'conflict', 'refused', 'repaired'));

-- Figures ask how many readings of a device's time were rejected, and of the fleet's.
CREATE INDEX rejected_records_of_device ON rejected_records (device_id, reading_at)
    INCLUDE (topic, same_energy) WHERE resolved_at IS NULL AND reading_at IS NOT NULL;
CREATE INDEX rejected_records_of_time ON rejected_records (reading_at)
    INCLUDE (topic, device_id, same_energy) WHERE resolved_at IS NULL AND reading_at IS NOT NULL;
