-- Writes a batch that was decided without a look: not if one of its new keys is known, or others wrote meanwhile.
CREATE FUNCTION write_fresh(
  fresh text[],
  seen bigint, attempt uuid, changes bytea, last_fence bigint, batch_at double precision,
  revived text[], closed text[], opened lease[], ended_rows ended[], returned_rows returned[], entries entry[],
  stocks stock[], spents spent[], rates rate[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM ended WHERE key = ANY (fresh)) OR EXISTS (SELECT FROM returned WHERE key = ANY (fresh)) THEN
    RETURN false;
  END IF;
  RETURN write_batch(
    seen, attempt, changes, last_fence, batch_at, revived, closed, opened, ended_rows, returned_rows, entries,
    stocks, spents, rates
  );
END $$;
