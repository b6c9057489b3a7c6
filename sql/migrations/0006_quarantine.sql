-- oldest code: 0004

-- How many bytes the reading has, since only the first of them are kept. Null: as many as `raw` has.
ALTER TABLE rejected_records ADD COLUMN raw_bytes bigint;

-- Rejected readings that were only counted: rejected_records was too large to take them in. The books
-- count them on, as they count the rows of retired days.
CREATE TABLE rejected_overflow (
    group_id text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    reason text NOT NULL,
    readings bigint NOT NULL,
    -- Where Kafka has them: the offsets of the first and of the last one.
    first_offset bigint NOT NULL,
    last_offset bigint NOT NULL,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_id, topic, partition, reason)
);
