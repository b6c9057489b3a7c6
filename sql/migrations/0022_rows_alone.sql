-- oldest code: 0004

-- Runs statements with the values of one staged row: `texts` is a list of expressions of it, and each
-- statement is a format() of these. The row is in no statement itself, since Citus sends one to the one
-- node that it is for only when it sees the device's id.
CREATE FUNCTION write_alone(staged regclass, place tid, texts text, statements text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    found text[];
    statement text;
BEGIN
    EXECUTE format('SELECT ARRAY[%s] FROM %s WHERE ctid = $1', texts, staged) INTO found USING place;
    FOREACH statement IN ARRAY statements LOOP
        EXECUTE format(statement, VARIADIC found);
    END LOOP;
END $$;
