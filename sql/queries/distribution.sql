-- Spreading the large tables over the nodes of a Citus cluster by device id. All else stays on the
-- coordinator, as tables that Citus does not know.

-- fragment: whole_table
-- The table of that name and its day partitions, as `part`.
SELECT to_regclass(name) AS part
UNION
SELECT relid FROM pg_partition_tree(to_regclass(name))

-- name: spread
-- A table, over so many shards, or like another whose rows of a device lie on the same node.
SELECT create_distributed_table(%(table)s::text::regclass, %(column)s::text,
    colocate_with => %(beside)s::text,
    shard_count => %(shards)s::integer)

-- name: gather
-- The opposite: a table of the coordinator again, under the same name. It is another one, and what
-- depended on the old one is gone, but for views.
SELECT undistribute_table(%(table)s::text::regclass)

-- name: functions_here_alone
-- The functions of our schema that nodes do not know: those that are older than the extension. Left
-- out are those of triggers, and those that speak of the rows of tables: nodes have no use for them.
-- And whether each runs with the owner's rights.
SELECT pg_proc.oid::regprocedure::text, prosecdef
FROM pg_proc
JOIN pg_class AS ours ON ours.oid = 'ingest_offsets'::regclass AND relnamespace = pronamespace
WHERE pg_has_role(proowner, 'USAGE') AND prorettype <> 'trigger'::regtype
    AND NOT EXISTS (
        SELECT FROM pg_dist_object AS known
        WHERE known.classid = 'pg_proc'::regclass AND known.objid = pg_proc.oid)
    AND NOT EXISTS (
        SELECT FROM pg_depend
        LEFT JOIN pg_type AS rows ON refclassid = 'pg_type'::regclass AND rows.oid = refobjid
        LEFT JOIN pg_class AS relation ON relation.oid = rows.typrelid
        WHERE classid = 'pg_proc'::regclass AND pg_depend.objid = pg_proc.oid
            AND (deptype = 'e' OR relation.relnamespace = pronamespace))
ORDER BY pg_proc.oid

-- name: keep_to_owner
-- What PUBLIC may not call here it could call on nodes: that it may not is not passed on.
REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC

-- name: share_function
SELECT create_distributed_function(%(function)s::text::regprocedure)

-- name: functions_of
-- The functions that speak of a table's rows, with their owners: Citus drops them with the table.
SELECT DISTINCT pg_get_functiondef(pg_proc.oid) AS definition,
    format('ALTER FUNCTION %%s OWNER TO %%I', pg_proc.oid::regprocedure, pg_get_userbyid(proowner))
FROM pg_class
JOIN pg_type ON pg_type.oid = reltype OR typelem = reltype
JOIN pg_depend ON refclassid = 'pg_type'::regclass AND refobjid = pg_type.oid
JOIN pg_proc ON classid = 'pg_proc'::regclass AND objid = pg_proc.oid
WHERE pg_class.oid = to_regclass(%(table)s)

-- name: on_coordinator_alone
-- What is made in this transaction from here on is no concern of the nodes.
SET LOCAL citus.enable_ddl_propagation = off

-- name: push_down
-- Lets nodes look up what a statement's CTEs say in laterals with a LIMIT: such a limit is for each of
-- the outer rows, and the rows of a device are on one node. And a transaction takes one connection a
-- node, not one a shard: each has to be prepared and committed, which costs more than it saves.
SET citus.subquery_pushdown = on;
SET citus.max_adaptive_executor_pool_size = 1

-- name: tables
-- Each of these tables: if it is spread, by which column, with which others, over how many shards; how
-- many day partitions it has; the bytes of its rows that are here, and of all that belongs to them.
SELECT name, column_to_column_name(logicalrelid, partkey) AS spread_by, colocationid AS colocation,
    (SELECT count(*) FROM pg_dist_shard WHERE logicalrelid = to_regclass(name)) AS shards,
    days, row_bytes, bytes
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS wanted (name, place)
LEFT JOIN pg_dist_partition ON logicalrelid = to_regclass(name) AND partmethod = 'h'
CROSS JOIN LATERAL (
    SELECT count(*) - 1 AS days, sum(pg_relation_size(part))::bigint AS row_bytes,
        sum(pg_total_relation_size(part))::bigint AS bytes
    FROM (
        -- include: whole_table
    ) AS whole) AS found
ORDER BY place

-- name: lock
-- Nobody but us writes to the table and its days until the transaction ends; all may read.
LOCK TABLE {table} IN EXCLUSIVE MODE

-- name: count
SELECT count(*) FROM {table}

-- name: tell_progress
-- Until the transaction ends: Citus says how many rows it has copied.
SET LOCAL client_min_messages = debug1

-- name: end_when_left
-- When the client is gone, so is what it asked for, within a second.
SET client_connection_check_interval = '1s'

-- name: hurry
-- In this transaction no lock is waited for any longer: readers would queue behind us.
SET LOCAL lock_timeout = '1s'

-- name: empty_here
-- Removes the rows that were copied to the nodes, which nobody sees here any more.
SELECT truncate_local_data_after_distributing_table(%(table)s::text::regclass)

-- name: readers
-- Who holds a lock on a table or one of its days, longest first.
SELECT format('%%s (pid %%s, since %%s)', nullif(application_name, ''), pid,
    to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND pid IN (
    SELECT pid
    FROM pg_locks
    JOIN pg_database ON pg_database.oid = pg_locks.database AND datname = current_database()
    WHERE granted AND relation IN (SELECT part FROM (SELECT %(table)s::text) AS named (name), LATERAL (
        -- include: whole_table
    ) AS whole))
ORDER BY xact_start
LIMIT 1

-- name: analyze
ANALYZE {table}

-- name: stored
-- How many readings the books call stored.
SELECT coalesce(sum(stored), 0)::bigint FROM ingest_offsets

-- name: cluster
-- Citus' version; and whether this is a node that others coordinate.
SELECT extversion, (SELECT groupid FROM pg_dist_local_group) <> 0
FROM pg_extension WHERE extname = 'citus'

-- name: nodes
-- The nodes that are there for writing, and whether each is in use and takes shards.
SELECT nodeid, groupid, format('%%s:%%s', nodename, nodeport) AS address, isactive AS active,
    shouldhaveshards AS takes_shards
FROM pg_dist_node
WHERE noderole = 'primary'
ORDER BY groupid

-- name: ask_nodes
-- What each node answers to a statement: the node, whether it could, and the answer or the error.
SELECT nodeid, success, result FROM run_command_on_all_nodes(%(statement)s)

-- name: of_node
-- What matters of a node, as JSON; parameters would not reach it.
SELECT json_build_object(
    'encoding', getdatabaseencoding(),
    'collation', (SELECT datcollate FROM pg_database WHERE datname = current_database()),
    'citus', (SELECT extversion FROM pg_extension WHERE extname = 'citus'),
    'prepared', current_setting('max_prepared_transactions')::int,
    'wal_level', current_setting('wal_level'),
    'free', (SELECT available_disk_size FROM citus_local_disk_space_stats()),
    'roles', (SELECT json_agg(rolname) FROM pg_roles WHERE rolcanlogin))

-- name: health
-- Which nodes do not reach each other.
SELECT format('%%s:%%s does not reach %%s:%%s', from_nodename, from_nodeport, to_nodename, to_nodeport)
FROM citus_check_cluster_node_health()
WHERE result IS NOT TRUE

-- name: connected
-- Who is connected to this database by one of these names.
SELECT application_name, count(*), min(pid)
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = ANY (%(names)s)
GROUP BY application_name
ORDER BY application_name

-- name: end_connections
-- Ends those that are connected by this name.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database() AND application_name = %(name)s

-- name: in_the_way
-- What Citus would refuse, or lose a day by: triggers of others, and days that are half taken out.
SELECT format('%%s has the trigger %%s, which Citus refuses', part, tgname)
FROM unnest(%(tables)s::text[]) AS wanted (name)
CROSS JOIN LATERAL (
    -- include: whole_table
) AS whole
JOIN pg_trigger ON tgrelid = part AND NOT tgisinternal
WHERE tgparentid = 0
UNION ALL
SELECT format('%%s is half taken out of history: let a worker run until it is gone', inhrelid::regclass)
FROM unnest(%(tables)s::text[]) AS wanted (name)
JOIN pg_inherits ON inhparent = to_regclass(name) AND inhdetachpending

-- name: placement
-- Where the tables lie: of each, on each node, how many shards, and their bytes with all that belongs
-- to them; null while a node cannot be asked.
SELECT root.name, format('%%s:%%s', nodename, nodeport) AS address,
    count(*) FILTER (WHERE table_name = to_regclass(root.name)) AS shards,
    sum(shard_size)::bigint AS bytes
FROM unnest(%(tables)s::text[]) WITH ORDINALITY AS root (name, place)
CROSS JOIN LATERAL (
    -- include: whole_table
) AS whole
JOIN citus_shards ON table_name = part
GROUP BY place, root.name, nodename, nodeport
ORDER BY place, address

-- name: days_left_out
-- Days of spread histories that are not spread themselves.
SELECT inhrelid::regclass::text
FROM unnest(%(tables)s::text[]) AS wanted (name)
JOIN pg_dist_partition AS root ON root.logicalrelid = to_regclass(name)
JOIN pg_inherits ON inhparent = root.logicalrelid
WHERE NOT EXISTS (SELECT 1 FROM pg_dist_partition AS own WHERE own.logicalrelid = inhrelid)
ORDER BY 1

-- name: start_rebalance
-- Citus moves shards in the background, until each node has its share; the number of the job, null
-- when there is nothing to move.
SELECT citus_rebalance_start(shard_transfer_mode => %(mode)s)

-- name: last_rebalance
-- The newest job: its number and its state, and whether that is for good.
SELECT job_id, state::text, state IN ('finished', 'cancelled', 'failed')
FROM pg_dist_background_job
WHERE job_type = 'rebalance'
ORDER BY job_id DESC
LIMIT 1

-- name: rebalance
-- A job: its state, and whether that is for good.
SELECT state::text, state IN ('finished', 'cancelled', 'failed')
FROM pg_dist_background_job
WHERE job_id = %(job)s

-- name: moves
-- Of a job: how many moves are done, of how many, and what the last one that failed says.
SELECT count(*) FILTER (WHERE status = 'done'), count(*),
    (array_agg(message ORDER BY task_id DESC) FILTER (WHERE message <> ''))[1]
FROM pg_dist_background_task
WHERE job_id = %(job)s
