-- oldest code: 0004

-- What statements ask of a history that may lie on other nodes, a device at a time: each is then a
-- question to one node.

-- How many readings a device sent in [first, past), counted up to `most`, and the time of the last of
-- these. It is planned for the day partitions in between alone.
CREATE FUNCTION sent_in(
    stream text, device text, first timestamptz, past timestamptz, most bigint,
    OUT readings bigint, OUT last timestamptz)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    EXECUTE format('SELECT count(*), max("timestamp") FROM (SELECT "timestamp" FROM %I WHERE %I = %L'
        ' AND "timestamp" >= %L AND "timestamp" < %L ORDER BY "timestamp" LIMIT %s) AS reading',
        stream || '_telemetry_history', stream || '_id', device, first, past, most)
    INTO readings, last;
END $$;
