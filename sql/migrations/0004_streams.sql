-- Streams are described in one place of the code: no table lists them any more.

ALTER TABLE rollup_log DROP CONSTRAINT rollup_log_stream_check;

-- Try each row of a staging table by itself, by a statement that takes its ctid, and take it back at
-- once. Returns those that failed, and why: whether that is the row's fault is for the caller to say.
-- It replaces refused_rows, which workers of release 0.1.0 call until they are replaced.
CREATE FUNCTION try_each_row(staged regclass, store_one text)
RETURNS TABLE (seq integer, state text, message text, violated text)
LANGUAGE plpgsql AS $$
DECLARE
    place tid;
BEGIN
    FOR seq, place IN EXECUTE format('SELECT seq, ctid FROM %s ORDER BY seq', staged) LOOP
        BEGIN
            EXECUTE store_one USING place;
            RAISE SQLSTATE 'UNDO1';
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS
                state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
                violated = CONSTRAINT_NAME;
            CONTINUE WHEN state = 'UNDO1';
            RETURN NEXT;
        END;
    END LOOP;
END $$;

-- What a register's readings are credited with is said by the statements themselves from now on;
-- these two are called by release 0.1.0 until it is replaced.
COMMENT ON FUNCTION increase(numeric, timestamptz, numeric, timestamptz)
    IS 'of release 0.1.0; see sql/queries/registers.sql';
COMMENT ON FUNCTION is_reset(numeric, timestamptz, numeric, timestamptz)
    IS 'of release 0.1.0; see sql/queries/registers.sql';
