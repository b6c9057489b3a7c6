-- oldest code: 0004

-- Day partitions are told by what the catalog says of them, never by their names: operators detach,
-- rename and move partitions, and add some of their own.

-- The partitions of a history table: [first, past) is what each takes, and `day` is set when that is
-- one UTC day. Both are null for the DEFAULT partition. `pending`: an interrupted DETACH CONCURRENTLY
-- left it in between. Of one name only when `named` is given.
CREATE FUNCTION history_partitions(history text, named text DEFAULT NULL)
RETURNS TABLE (
    id oid, space text, name text, first timestamptz, past timestamptz, day date, pending boolean)
LANGUAGE sql STABLE
SET datestyle = 'ISO, MDY' SET timezone = 'UTC'
AS $$
    SELECT id, space, name, first, past,
        CASE WHEN first = date_trunc('day', first) AND past = first + interval '1 day'
            THEN first::date END,
        pending
    FROM (
        SELECT id, space, name, pending,
            CASE WHEN starts = 'MINVALUE' THEN '-infinity' ELSE trim('''' FROM starts) END
                ::timestamptz AS first,
            CASE WHEN ends = 'MAXVALUE' THEN 'infinity' ELSE trim('''' FROM ends) END
                ::timestamptz AS past
        FROM (
            SELECT part.oid AS id, nspname::text AS space, relname::text AS name,
                inhdetachpending AS pending,
                substring(bound FROM 'FROM \(([^)]*)\) TO') AS starts,
                substring(bound FROM 'TO \(([^)]*)\)') AS ends
            FROM pg_inherits
            JOIN pg_class AS part ON part.oid = inhrelid
            JOIN pg_namespace AS space ON space.oid = relnamespace
            CROSS JOIN pg_get_expr(relpartbound, part.oid) AS bound
            WHERE inhparent = history::regclass AND (named IS NULL OR relname = named)
        ) AS texts
    ) AS bounds
$$;

-- The day in the name of a table, <history>_YYYY_MM_DD; null when there is none. It says where to look,
-- not what a table holds.
CREATE FUNCTION day_in_name(history text, name text) RETURNS date
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN day IS NULL THEN NULL
        WHEN extract(day FROM day) = right(name, 2)::int THEN day
    END
    FROM (
        SELECT CASE WHEN name ~ ('^' || history || '_[12]\d{3}_(0[1-9]|1[0-2])_([0-2]\d|3[01])$')
            THEN make_date(left(right(name, 10), 4)::int, left(right(name, 5), 2)::int, 1)
                + right(name, 2)::int - 1
        END AS day
    ) AS guarded
$$;

-- The oldest day that a history table may hold readings of; null when it can hold none. Names are good
-- enough here: to ask every partition for its bounds takes long, and waits for those that are locked.
CREATE FUNCTION history_since(history text) RETURNS timestamptz
LANGUAGE plpgsql STABLE AS $$
DECLARE
    since timestamptz;
    held timestamptz;
    others text[];
    part record;
BEGIN
    SELECT min(day)::timestamp AT TIME ZONE 'UTC', array_agg(relname) FILTER (WHERE day IS NULL)
    INTO since, others
    FROM (
        SELECT relname, day_in_name(history, relname) AS day
        FROM pg_inherits JOIN pg_class AS named ON named.oid = inhrelid
        WHERE inhparent = history::regclass
        OFFSET 0) AS parts;
    FOR part IN
        SELECT found.* FROM unnest(others) AS other, history_partitions(history, other) AS found
    LOOP
        held := part.first;
        IF held IS NULL OR held = '-infinity' THEN
            EXECUTE format('SELECT min("timestamp") FROM %I.%I', part.space, part.name) INTO held;
        END IF;
        since := least(since, held);
    END LOOP;
    RETURN date_bin('1 day', since, '2000-01-01Z');
END $$;

-- Which table is on its way out of history, and may be dropped: only that very one, not another that
-- somebody gave the day's name. Null when the day is gone, or was brought back.
ALTER TABLE retired_days ADD announced oid;

UPDATE retired_days
SET announced = day_table.oid
FROM pg_class AS day_table
WHERE rows = 0
    AND day_table.relkind = 'r'
    AND day_in_name(history, day_table.relname) = day
    AND day_table.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = history::regclass);

-- Find or make the partition that takes a day's rows. `how` says what it was: 'there'; 'created';
-- 'attached', when a table of the day's name stood beside history; or 'default', when the DEFAULT
-- partition holds rows of that day already, so that PostgreSQL allows no other for it. Raises, naming
-- the table, when the day's rows cannot be taken now.
--
-- A new table is made by itself and attached afterwards: ATTACH does not block a running COPY, CREATE
-- TABLE ... PARTITION OF does. It is like its parent in all that is not a partition's to have.
CREATE FUNCTION ensure_day_partition(
    history text, day date, OUT space text, OUT partition text, OUT how text)
LANGUAGE plpgsql AS $$
DECLARE
    parent pg_class;
    own pg_class;
    own_name text;
    first_of_day timestamptz := day::timestamp AT TIME ZONE 'UTC';
    past_day timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    SELECT * INTO STRICT parent FROM pg_class WHERE oid = history::regclass;
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
    ELSIF own.relispartition OR own.relkind NOT IN ('r', 'p', 'f') THEN
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

-- As releases before call it; they take the partition's name for granted. True when it was created.
CREATE OR REPLACE FUNCTION create_day_partition(history text, day date) RETURNS boolean
LANGUAGE sql AS $$
    SELECT how = 'created' FROM ensure_day_partition(history, day)
$$;

-- Why a day could not be packed when it was last tried; null when it could.
ALTER TABLE packed_days ADD failed text;

-- What housekeeping does for all workers: when each duty was last tried and last done, and if it
-- fails, since when and why. Written by whichever worker is at it, and read by all of them.
CREATE TABLE housekeeping_duties (
    duty text PRIMARY KEY,
    tried_at timestamptz NOT NULL,
    last_success_at timestamptz,
    failing_since timestamptz,
    why text
);
