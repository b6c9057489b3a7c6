-- oldest code: 0004

-- What is amiss with a device's figures, once each, with its life: opened, acknowledged, resolved.
CREATE TABLE alerts (
    alert_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
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

-- What is told to others: each step in the life of an alert that is certain, in order.
CREATE TABLE alert_events (
    event_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE, -- rises in the life of one device's alerts
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alert_id uuid NOT NULL,
    event text NOT NULL CHECK (event IN ('opened', 'acknowledged', 'resolved')),
    stream text NOT NULL,
    device_id text COLLATE "C" NOT NULL,
    alert jsonb NOT NULL -- as GET /v1/alerts shows it at that moment
);
