-- Spreading the large tables over the nodes of a Citus cluster by device id. All else stays on the
-- coordinator, as tables that Citus does not know.

-- name: spread
-- A table, over so many shards, or like another whose rows of a device lie on the same node.
SELECT create_distributed_table(%(table)s::text::regclass, %(column)s::text,
    colocate_with => %(beside)s::text,
    shard_count => %(shards)s::integer)

-- name: spread_tables
-- Which of these tables are spread.
SELECT relname
FROM unnest(%(tables)s::text[]) AS wanted (relname)
JOIN pg_dist_partition ON logicalrelid = to_regclass(relname)
WHERE partmethod = 'h'

-- name: push_down
-- Lets nodes look up what a statement's CTEs say in laterals with a LIMIT: such a limit is for each of
-- the outer rows, and the rows of a device are on one node.
SET citus.subquery_pushdown = on
