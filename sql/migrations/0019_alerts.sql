-- oldest code: 0004

-- What is amiss with a device's figures, once each, with its life: opened, acknowledged, resolved.
CREATE TABLE alerts (
    alert_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- the order in which they were opened
    session_id uuid, -- of an alert about one session's figures
    opened_at timestamptz NOT NULL,
    certain_since timestamptz, -- null: what it rests on is not complete, so it wakes nobody
    acknowledged_at timestamptz,
    resolved_at timestamptz,
    code text NOT NULL,
    stream text NOT NULL CHECK (stream IN ('meter', 'vehicle')),
    device_id text COLLATE "C" NOT NULL, -- whose alert it is; of a session, its vehicle
    meter_id text COLLATE "C", -- of a session, its meter
    message text NOT NULL,
    why text,
    acknowledged_by text,
    note text
);
CREATE UNIQUE INDEX alerts_not_resolved ON alerts
    (code, stream, device_id, coalesce(session_id, '00000000-0000-0000-0000-000000000000'))
    WHERE resolved_at IS NULL;

CREATE INDEX alerts_of_session ON alerts (session_id) WHERE resolved_at IS NULL;

-- Sessions whose figures may be others than when they were last judged, and since when.
CREATE TABLE sessions_to_judge (
    session_id uuid PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

-- A session that is moved to where no readings are changes no rollup any more.
CREATE FUNCTION mark_changed_session() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sessions_to_judge (session_id)
    SELECT NEW.session_id
    WHERE EXISTS (
        SELECT FROM alerts WHERE session_id = NEW.session_id AND resolved_at IS NULL)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- It runs with the owner's rights: code that knows nothing of these tables changes sessions, too, and its
-- `migrate` takes away what it does not know that its roles need.
DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION mark_changed_session() SECURITY DEFINER SET search_path = %I, pg_temp',
        current_schema());
    REVOKE ALL ON FUNCTION mark_changed_session() FROM PUBLIC;
END $$;
CREATE TRIGGER mark_changed_session AFTER UPDATE ON charging_sessions
    FOR EACH ROW EXECUTE FUNCTION mark_changed_session();

-- What is told to others: each step in the life of an alert that is certain, in order.
CREATE TABLE alert_events (
    event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- in the order of their commits: writers hold a lock
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alert_id uuid NOT NULL,
    event text NOT NULL CHECK (event IN ('opened', 'acknowledged', 'resolved')),
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    alert jsonb NOT NULL -- as GET /v1/alerts shows it at that moment
);
