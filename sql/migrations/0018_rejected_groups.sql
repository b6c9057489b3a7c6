-- oldest code: 0004

-- Rejected readings are counted by device and reason from this index alone, however many there are.
CREATE INDEX rejected_records_groups ON rejected_records (topic, device_id, reason, id)
    INCLUDE (resolved_at, reading_at);
