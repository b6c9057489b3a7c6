-- oldest code: 0004

-- Two databases that share one group id: which other one a partition is stopped for, and which one
-- an operator took it over from.
ALTER TABLE ingest_offsets
    ADD COLUMN claimed_by uuid,
    ADD COLUMN claim_overridden uuid;
