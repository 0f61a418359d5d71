-- What a statement is refused with, a line for each part of the error.  psql
-- shows either no SQLSTATE or the line numbers of our C files.
CREATE FUNCTION pg_temp.refused(statement text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	state text;
	message text;
	detail text;
	hint text;
BEGIN
	BEGIN
		EXECUTE statement;
		RETURN NEXT 'accepted';
		RETURN;
	EXCEPTION WHEN OTHERS THEN
		GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE,
			message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
			hint = PG_EXCEPTION_HINT;
	END;
	RETURN NEXT format('%s  %s', state, message);
	RETURN QUERY SELECT 'DETAIL ' || detail WHERE detail <> '';
	RETURN QUERY SELECT 'HINT   ' || hint WHERE hint <> '';
END $$;
