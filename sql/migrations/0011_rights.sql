-- oldest code: 0004

-- Workers and the API need not own the tables. What only the owner may do, to make and to drop the day
-- partitions, they do by the functions below, which run with the owner's rights. So each looks for
-- itself at what it is asked for, and finds names in our schema alone, whatever the caller's
-- search_path is.

-- Which roles have which rights: `python -m sql grant` writes it, and migrations give the roles what
-- new tables need.
CREATE TABLE granted_roles (
    kind text NOT NULL CHECK (kind IN ('worker', 'api', 'reader')),
    role text NOT NULL,
    PRIMARY KEY (kind, role)
);

-- The history table of this name, in our schema. Raises for any other table, and for a day whose table
-- would have no name that we know.
CREATE FUNCTION own_history(history text, day date) RETURNS pg_class
LANGUAGE plpgsql STABLE AS $$
DECLARE
    parent pg_class;
BEGIN
    SELECT table_.* INTO parent
    FROM pg_class AS table_
    JOIN pg_class AS ours ON ours.oid = 'ingest_offsets'::regclass
        AND ours.relnamespace = table_.relnamespace
    WHERE table_.relname = history AND table_.relkind = 'p'
        AND table_.relname LIKE '%\_telemetry\_history'
        AND pg_has_role(table_.relowner, 'USAGE');
    IF NOT FOUND THEN
        RAISE '% is no history table', history
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF day IS NULL OR day NOT BETWEEN '1900-01-01' AND '2999-12-31' THEN
        RAISE '% is no day of %', day, history
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN parent;
END $$;

-- Whether a day has been over for a day: no worker writes it, and it may be retired.
CREATE FUNCTION is_over(day date) RETURNS boolean
LANGUAGE sql STABLE
RETURN coalesce(day < (now() AT TIME ZONE 'UTC')::date - 1, false);

-- Whether a table may be taken for that of a day: by its name, which is for the owner alone to give.
-- Who is the owner, or may act as such, is believed without.
CREATE FUNCTION is_this_day(parent pg_class, part pg_class, day date) RETURNS boolean
LANGUAGE sql STABLE
RETURN day_in_name(parent.relname, part.relname) IS NOT DISTINCT FROM day
    OR pg_has_role(session_user, parent.relowner, 'USAGE');

-- Give a new partition the rights that others have on its parent: COPY goes straight into it.
CREATE FUNCTION grant_like(parent oid, part regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT string_agg(privilege_type, ', ') AS privileges,
            CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END AS role
        FROM pg_class, aclexplode(relacl)
        WHERE pg_class.oid = parent AND grantee <> relowner
        GROUP BY grantee
    LOOP
        EXECUTE format('GRANT %s ON %s TO %s', given.privileges, part, given.role);
    END LOOP;
END $$;

-- As before, with the owner's rights, and rights for others on what it makes.
CREATE OR REPLACE FUNCTION ensure_day_partition(
    history text, day date, OUT space text, OUT partition text, OUT how text)
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class;
    own pg_class;
    own_name text;
    first_of_day timestamptz := day::timestamp AT TIME ZONE 'UTC';
    past_day timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    parent := own_history(history, day);
    own_name := parent.relname || '_' || to_char(day, 'YYYY_MM_DD');
    FOR attempt IN 1..2 LOOP
        SELECT part.space, part.name, 'there' INTO space, partition, how
        FROM history_partitions(history, own_name) AS part
        WHERE first <= first_of_day AND past >= past_day AND NOT pending;
        IF FOUND THEN
            RETURN;
        END IF;
        -- Somebody may have been faster.
        PERFORM pg_advisory_xact_lock(hashtext('create_day_partition'), hashtext(own_name));
    END LOOP;

    SELECT nspname INTO space FROM pg_namespace WHERE oid = parent.relnamespace;
    partition := own_name;
    -- Not to_regclass: what it remembers may be older than the wait for the lock.
    SELECT * INTO own FROM pg_class WHERE relname = own_name AND relnamespace = parent.relnamespace;
    how := CASE WHEN FOUND THEN 'attached' ELSE 'created' END;
    IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = own.oid AND inhdetachpending)
        OR EXISTS (SELECT FROM retired_days WHERE announced = own.oid)
    THEN
        RAISE '% is on its way out of %', own_name, history
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF own.relispartition OR own.relkind NOT IN ('r', 'p', 'f') OR own.relowner <> parent.relowner
    THEN
        RAISE '% has the name of the partition of %, and is another', own_name, day
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    BEGIN
        IF how = 'created' THEN
            EXECUTE format('CREATE TABLE %I.%I (LIKE %I.%I INCLUDING ALL EXCLUDING IDENTITY)',
                space, partition, space, parent.relname)
                || coalesce((
                    SELECT format(' TABLESPACE %I', spcname) FROM pg_tablespace
                    WHERE oid = parent.reltablespace), '');
        END IF;
        EXECUTE format('ALTER TABLE %I.%I ATTACH PARTITION %I.%I FOR VALUES FROM (%L) TO (%L)',
            space, parent.relname, space, partition, first_of_day, past_day);
        PERFORM grant_like(parent.oid, format('%I.%I', space, partition)::regclass);
    EXCEPTION
        WHEN invalid_object_definition THEN
            -- It would overlap another: one that was renamed, or that takes more than this day.
            SELECT part.space, part.name, 'there' INTO space, partition, how
            FROM history_partitions(history) AS part
            WHERE first <= first_of_day AND past >= past_day AND NOT pending;
            IF NOT FOUND THEN
                RAISE;
            END IF;
        WHEN check_violation THEN
            -- A new table holds no row that could violate anything: the DEFAULT partition does.
            SELECT nspname, relname, 'default' INTO space, partition, how
            FROM pg_partitioned_table
            JOIN pg_class AS part ON part.oid = partdefid
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE partrelid = parent.oid AND how = 'created';
            IF NOT FOUND THEN
                RAISE;
            END IF;
    END;
END $$;

-- Take a day out of history that was announced in retired_days, or end a DETACH CONCURRENTLY that was
-- interrupted. It blocks everybody while it waits: lock_timeout should be short.
CREATE FUNCTION detach_day(history text, part regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class := own_history(history, current_date);
    leaving record;
BEGIN
    SELECT held.* INTO leaving
    FROM pg_class AS table_
    CROSS JOIN history_partitions(history, table_.relname) AS held
    WHERE table_.oid = part AND held.id = part AND table_.relowner = parent.relowner
        AND (held.pending
            OR is_over(held.day) AND is_this_day(parent, table_, held.day)
                AND EXISTS (SELECT FROM retired_days WHERE announced = part));
    IF NOT FOUND THEN
        RAISE '% is no past day of % that was announced to go', part, history
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('ALTER TABLE %s DETACH PARTITION %s %s', parent.oid::regclass, part,
        CASE WHEN leaving.pending THEN 'FINALIZE' ELSE '' END);
END $$;

-- Drop the table of a day that was announced and taken out of history; returns how many rows it had,
-- which retired_days keeps for the books. Waits for the last COPY into it. No day is dropped before it
-- has been over for a day.
CREATE FUNCTION drop_day(history text, part regclass, day date) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class := own_history(history, day);
    gone bigint;
BEGIN
    IF NOT is_over(day) OR NOT EXISTS (
        SELECT FROM pg_class AS table_
        JOIN retired_days AS retired ON retired.announced = table_.oid
        WHERE table_.oid = part AND table_.relkind IN ('r', 'p') AND NOT table_.relispartition
            AND table_.relnamespace = parent.relnamespace AND table_.relowner = parent.relowner
            AND is_this_day(parent, table_, drop_day.day)
            AND retired.history = parent.relname AND retired.day = drop_day.day)
    THEN
        RAISE '% is no past day of % that was taken out of it', part, history
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', part);
    -- What cannot be dropped is not counted again and again.
    BEGIN
        EXECUTE format('DROP TABLE %s', part);
        RAISE 'it can be dropped' USING ERRCODE = 'EI001';
    EXCEPTION WHEN SQLSTATE 'EI001' THEN
    END;
    EXECUTE format('SELECT count(*) FROM %s', part) INTO gone;
    UPDATE retired_days AS retired
    SET rows = retired.rows + gone, retired_at = now(), announced = NULL
    WHERE retired.history = drop_day.history AND retired.day = drop_day.day;
    EXECUTE format('DROP TABLE %s', part);
    RETURN gone;
END $$;

-- Drop the indexes of a day's partition that an interrupted REINDEX CONCURRENTLY left behind.
CREATE FUNCTION drop_half_built(history text, part regclass) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class := own_history(history, current_date);
    half_built regclass;
BEGIN
    FOR half_built IN
        SELECT indexrelid
        FROM pg_index
        JOIN pg_inherits ON inhrelid = indrelid AND inhparent = parent.oid
        WHERE indrelid = part AND NOT indisvalid
    LOOP
        EXECUTE format('DROP INDEX %s', half_built);
    END LOOP;
END $$;

-- The schema of our tables is known only now.
DO $$
DECLARE
    function regprocedure;
BEGIN
    FOREACH function IN ARRAY ARRAY[
        'ensure_day_partition(text, date)', 'create_day_partition(text, date)',
        'detach_day(text, regclass)', 'drop_day(text, regclass, date)',
        'drop_half_built(text, regclass)']::regprocedure[]
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
            function, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
END $$;
