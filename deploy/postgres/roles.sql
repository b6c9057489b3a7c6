-- The roles of docker-compose.production.yml. The image of PostgreSQL runs this once, as its superuser,
-- when the database is made. What the worker, the API and readers may do is granted after the
-- migrations, by `python -m sql grant`; here they can do nothing but connect.

DO $$
DECLARE
    role text;
    password text;
BEGIN
    FOREACH role IN ARRAY ARRAY['energy_owner', 'energy_worker', 'energy_api', 'energy_reader'] LOOP
        password := rtrim(pg_read_file('/run/secrets/' || role), E'\r\n');
        IF password = '' THEN
            RAISE EXCEPTION 'the secret % is empty', role;
        END IF;
        EXECUTE format('CREATE ROLE %I LOGIN', role);
        EXECUTE format('ALTER ROLE %I PASSWORD %L', role, password);
    END LOOP;
    -- The owner migrates. It needs no superuser: btree_gist is an extension that owners may create.
    EXECUTE format('ALTER DATABASE %I OWNER TO energy_owner', current_database());
END
$$;
