-- oldest code: 0004

-- Days of a history table that Citus has distributed over nodes. What the coordinator has of them is
-- an empty table: their rows, and their indexes, are in shards. On a plain PostgreSQL all is as before.

-- Whether a table's rows are on Citus' nodes. The catalog is looked for first: without Citus there is
-- none.
CREATE FUNCTION is_distributed(part regclass) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found boolean := false;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NOT NULL THEN
        EXECUTE 'SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_dist_partition WHERE logicalrelid = $1)'
        INTO found USING part;
    END IF;
    RETURN found;
END $$;

-- How large the key of each day of a history table is, and how many rows were ever put into it. Of
-- a distributed one all nodes are asked at once. Raises when one of them does not answer.
CREATE FUNCTION day_sizes(history text)
RETURNS TABLE (id oid, key_bytes bigint, inserted bigint)
LANGUAGE plpgsql AS $$
DECLARE
    of_node text;
BEGIN
    IF NOT is_distributed(history::regclass) THEN
        RETURN QUERY SELECT indrelid, pg_relation_size(indexrelid),
            pg_stat_get_tuples_inserted(indrelid)
        FROM pg_inherits
        JOIN pg_index ON indrelid = inhrelid AND indisprimary
        WHERE inhparent = history::regclass;
        RETURN;
    END IF;
    SELECT format($node$
        SELECT coalesce(json_agg(json_build_object('shard', shardid, 'bytes', pg_relation_size(indexrelid),
            'rows', pg_stat_get_tuples_inserted(indrelid))), '[]')
        FROM pg_inherits
        JOIN pg_dist_shard ON logicalrelid = inhrelid
        JOIN pg_index ON indrelid = to_regclass(shard_name(logicalrelid, shardid)) AND indisprimary
        WHERE inhparent = '%I.%I'::regclass $node$, nspname, relname)
    INTO of_node
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = history::regclass;
    RETURN QUERY EXECUTE $all$
        WITH answers AS MATERIALIZED (
            SELECT CASE WHEN success THEN result::json
                ELSE raise_not_answered(nodeid, result) END AS shards
            FROM run_command_on_all_nodes($1)
        )
        SELECT logicalrelid::oid, sum((shard ->> 'bytes')::bigint)::bigint,
            sum((shard ->> 'rows')::bigint)::bigint
        FROM answers, json_array_elements(shards) AS shard
        JOIN pg_dist_shard ON shardid = (shard ->> 'shard')::bigint
        GROUP BY logicalrelid $all$
    USING of_node;
END $$;

CREATE FUNCTION raise_not_answered(node integer, why text) RETURNS json
LANGUAGE plpgsql AS $$
BEGIN
    RAISE 'node % does not answer: %', node, why
        USING ERRCODE = 'connection_exception';
END $$;

-- Drop the indexes of a day's partition that an interrupted REINDEX CONCURRENTLY left behind; on nodes
-- that was interrupted on one and not on another.
CREATE OR REPLACE FUNCTION drop_half_built(history text, part regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class := own_history(history, current_date);
    half_built regclass;
    why text;
BEGIN
    FOR half_built IN
        SELECT indexrelid
        FROM pg_index
        JOIN pg_inherits ON inhrelid = indrelid AND inhparent = parent.oid
        WHERE indrelid = part AND NOT indisvalid
    LOOP
        EXECUTE format('DROP INDEX IF EXISTS %s', half_built);
    END LOOP;
    IF NOT is_distributed(part)
        OR NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = part AND inhparent = parent.oid)
    THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT min(result) FROM run_command_on_shards($1, $2) WHERE NOT success'
    INTO why
    USING part, $shard$ DO $do$
        DECLARE
            half_built regclass;
        BEGIN
            PERFORM set_config('lock_timeout', '1s', true);
            FOR half_built IN
                SELECT indexrelid FROM pg_index WHERE indrelid = '%s'::regclass AND NOT indisvalid
            LOOP
                EXECUTE 'DROP INDEX ' || half_built;
            END LOOP;
        END $do$ $shard$;
    IF why IS NOT NULL THEN
        RAISE 'an index of % that is half built cannot be dropped: %', part, why
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- The schema of our tables is known only now.
DO $$
BEGIN
    EXECUTE format(
        'ALTER FUNCTION drop_half_built(text, regclass) SECURITY DEFINER SET search_path = %I, pg_temp',
        current_schema());
END $$;
