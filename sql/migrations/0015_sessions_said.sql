-- oldest code: 0004

-- As in 0012; and what a charger's register showed at a session's start or end counts there, so that
-- another value changes what readings around that edge are credited with.
CREATE OR REPLACE FUNCTION log_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.meter_id = OLD.meter_id AND NEW.vehicle_id = OLD.vehicle_id THEN
        INSERT INTO rollup_log (stream, devices, first, past)
        SELECT stream, ARRAY[device], least(was, is_now) - interval '1 microsecond',
            greatest(was, is_now) + interval '1 microsecond'
        FROM (VALUES
            (OLD.started_at, NEW.started_at, OLD.meter_start, NEW.meter_start),
            (coalesce(OLD.ended_at, 'infinity'), coalesce(NEW.ended_at, 'infinity'),
                OLD.meter_stop, NEW.meter_stop)
        ) AS edge (was, is_now, showed, shows)
        CROSS JOIN (VALUES ('vehicle', NEW.vehicle_id), ('meter', NEW.meter_id))
            AS of (stream, device)
        WHERE was <> is_now OR (showed IS DISTINCT FROM shows AND isfinite(is_now));
        RETURN NULL;
    END IF;
    INSERT INTO rollup_log (stream, devices, first, past)
    SELECT stream, ARRAY[device], started_at - interval '1 microsecond',
        coalesce(ended_at, 'infinity') + interval '1 microsecond'
    FROM (
        SELECT OLD.* WHERE TG_OP <> 'INSERT' UNION ALL SELECT NEW.* WHERE TG_OP <> 'DELETE'
    ) AS session
    CROSS JOIN LATERAL (VALUES ('vehicle', vehicle_id), ('meter', meter_id)) AS of (stream, device);
    RETURN NULL;
END $$;
