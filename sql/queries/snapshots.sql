-- What a transaction or a connection of the API begins with.

-- name: one_snapshot
-- All that follows in the transaction sees the database at one instant, and changes nothing.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: ping
SELECT 1

-- name: now
-- When the transaction began.
SELECT now()
