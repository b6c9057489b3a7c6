-- oldest code: 0004

-- What a session's readings add up to is asked of the readings themselves; nobody reads these sums.
-- Workers of release 0.1.0 go on writing some until they are replaced, so the table stays for now.
TRUNCATE session_hours;
COMMENT ON TABLE session_hours IS 'of release 0.1.0; read by nobody, to be dropped';
