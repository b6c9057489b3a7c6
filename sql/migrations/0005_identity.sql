-- oldest code: 0004

-- Who this database is: carried in the commits of its consumer group, so that two databases that read
-- one topic under one group id notice each other. A copy of the database is the same one.
CREATE TABLE database_identity (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO database_identity DEFAULT VALUES;
