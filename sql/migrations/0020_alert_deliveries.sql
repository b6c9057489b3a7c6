-- oldest code: 0004

-- Whom events of alerts are told to, each with what it has yet to get.
CREATE TABLE alert_targets (
    target text PRIMARY KEY, -- without what is secret in its address
    queued_to bigint NOT NULL, -- events up to this number were queued
    failures integer NOT NULL DEFAULT 0, -- in a row, of the target itself
    next_at timestamptz NOT NULL DEFAULT '-infinity', -- it gets nothing before
    error text,
    delivered_at timestamptz
);
CREATE TABLE alert_deliveries (
    target text NOT NULL REFERENCES alert_targets ON DELETE CASCADE,
    number bigint NOT NULL, -- of the event
    attempts integer NOT NULL DEFAULT 0, -- that the target refused
    next_at timestamptz NOT NULL DEFAULT '-infinity',
    error text,
    PRIMARY KEY (target, number)
);
