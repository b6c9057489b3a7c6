-- What every connection begins with, whatever the server, the database or the role sets by default.

-- name: unhurried
-- Comes first: the server may allow a statement or a transaction less time than the next one takes.
-- Servers before PostgreSQL 17 do not know the second parameter.
SELECT set_config('statement_timeout', '0', false),
    CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL
        THEN set_config('transaction_timeout', '0', false) END

-- name: settle
-- Sets these parameters, but for those that the server does not know. They are set even where they are
-- right: what a session has set, no reload of the server's configuration changes any more. Only what
-- is not for every role to set is left alone when it is right.
-- Sets a search path that holds our tables: the schema they are in, of several the one that comes first
-- in the path so far; without any the schema that new tables go to.
-- Returns what the server is: its version, as in 180006; the encoding of the database; the process id
-- of the backend; and whether the database has Citus.
SELECT current_setting('server_version_num')::int AS version,
    current_setting('server_encoding') AS encoding,
    pg_backend_pid() AS pid,
    EXISTS (SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'citus') AS citus,
    set_config('search_path', (
        SELECT quote_ident(coalesce(
            (SELECT nspname
            FROM pg_catalog.pg_class AS ours
            JOIN pg_catalog.pg_namespace AS space ON space.oid = ours.relnamespace
            WHERE relname = 'ingest_offsets' AND relkind IN ('r', 'p')
            ORDER BY array_position(current_schemas(false), nspname), nspname <> 'public', nspname
            LIMIT 1),
            current_schema(), 'public'))), false) AS search_path,
    (SELECT count(set_config(name, value, false))
    FROM unnest(%(names)s::text[], %(values)s::text[]) AS wanted (name, value)
    WHERE current_setting(name, true) IS NOT NULL
        AND (name <> 'session_replication_role' OR current_setting(name, true) <> value)) AS known

-- name: try_lock
-- Whether the connection has the advisory lock from here on.
SELECT pg_try_advisory_lock(%(lock)s) AS taken

-- name: backend
-- The process id of the backend that works for a transaction.
SELECT pg_backend_pid()
