-- oldest code: 0004

-- Session events: what chargers said over Kafka, and which session it became. The books of the topic
-- count these rows; sessions may be changed by others since.
CREATE TABLE session_events (
    "timestamp" timestamptz NOT NULL,
    meter_kwh double precision CHECK (meter_kwh >= 0), -- meterStart or meterStop
    stored_at timestamptz NOT NULL DEFAULT now(),
    session_id uuid NOT NULL,
    transaction_id text COLLATE "C" NOT NULL,
    event text NOT NULL CHECK (event IN ('start', 'end')),
    meter_id text COLLATE "C",
    vehicle_id text COLLATE "C",
    connector_id text,
    PRIMARY KEY (transaction_id, event)
);

-- Rejected events that another event may free: an end whose start is not known, or whatever
-- another session is in the way of (`blocked_by`) that has yet to end.
CREATE TABLE waiting_session_events (
    rejected_id bigint PRIMARY KEY,
    "timestamp" timestamptz NOT NULL,
    meter_kwh double precision,
    blocked_by uuid,
    transaction_id text COLLATE "C" NOT NULL,
    event text NOT NULL,
    meter_id text COLLATE "C",
    vehicle_id text COLLATE "C",
    connector_id text
);
CREATE INDEX waiting_session_events_of_transaction ON waiting_session_events (transaction_id);
CREATE INDEX waiting_session_events_blocked ON waiting_session_events (blocked_by)
    WHERE blocked_by IS NOT NULL;
