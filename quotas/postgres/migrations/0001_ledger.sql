-- The version counts the batches that were written: whoever writes says which one it has seen.
CREATE TABLE head (
  version bigint NOT NULL,
  fence bigint NOT NULL
);
INSERT INTO head (version, fence) VALUES (0, 0);

-- What the last batches changed, for the other replicas. `writer` names one attempt to write.
CREATE TABLE batch (
  version bigint PRIMARY KEY,
  writer uuid NOT NULL,
  at double precision NOT NULL,
  body bytea NOT NULL
);
CREATE INDEX batch_by_writer ON batch (writer);

-- Open leases: the reservations that count. `lines` and `degraded` are JSON.
CREATE TABLE lease (
  key text PRIMARY KEY,
  grp text NOT NULL,
  "user" text NOT NULL,
  lines text NOT NULL,
  fence bigint NOT NULL,
  expires_at double precision NOT NULL,
  degraded text NOT NULL
);

-- Leases that have ended, kept for a while so that a repeated call is recognised.
CREATE TABLE ended (
  key text PRIMARY KEY,
  grp text NOT NULL,
  "user" text NOT NULL,
  lines text NOT NULL,
  fence bigint NOT NULL,
  expires_at double precision NOT NULL,
  degraded text NOT NULL,
  how text NOT NULL CHECK (how IN ('commit', 'release', 'expire')),
  at double precision NOT NULL
);
CREATE INDEX ended_by_time ON ended (at);

-- Keys of stock that was given back, for the same reason.
CREATE TABLE returned (
  key text PRIMARY KEY,
  at double precision NOT NULL
);
CREATE INDEX returned_by_time ON returned (at);

-- The history. Rows are only ever added.
CREATE TABLE entry (
  seq bigint PRIMARY KEY,
  at double precision NOT NULL,
  event text NOT NULL,
  key text NOT NULL,
  grp text COLLATE "C" NOT NULL,
  "user" text NOT NULL,
  resource text NOT NULL,
  edge text NOT NULL,
  amount double precision NOT NULL,
  before double precision NOT NULL,
  after double precision NOT NULL,
  why text NOT NULL
);

-- Up to where the history was forgotten, and what it added up to there: open reservations by key, and what was
-- kept (key '').
CREATE TABLE checkpoint (
  key text NOT NULL,
  grp text NOT NULL,
  "user" text NOT NULL,
  resource text NOT NULL,
  edge text NOT NULL,
  amount double precision NOT NULL,
  PRIMARY KEY (key, grp, "user", resource, edge)
);
CREATE TABLE forgotten (
  seq bigint NOT NULL,
  at double precision NOT NULL
);
INSERT INTO forgotten (seq, at) VALUES (0, 0);

CREATE FUNCTION entry_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.seq <= (SELECT seq FROM forgotten) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'the history is only ever added to';
END $$;
CREATE TRIGGER entry_is_kept BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION entry_is_kept();

-- What was committed and not given back.
CREATE TABLE stock (
  grp text NOT NULL,
  "user" text NOT NULL,
  resource text NOT NULL,
  edge text NOT NULL,
  amount double precision NOT NULL,
  PRIMARY KEY (grp, "user", resource, edge)
);

-- The windows (span in seconds, -1: calendar month) in which a resource is counted, and what each bucket has.
CREATE TABLE counted (
  resource text NOT NULL,
  span bigint NOT NULL,
  PRIMARY KEY (resource, span)
);
CREATE TABLE spent (
  grp text NOT NULL,
  "user" text NOT NULL,
  resource text NOT NULL,
  edge text NOT NULL,
  span bigint NOT NULL,
  bucket bigint NOT NULL,
  amount double precision NOT NULL,
  PRIMARY KEY (grp, "user", resource, edge, span, bucket)
);

-- The rates: theoretical arrival times. `policy` is its definition as JSON: another definition starts anew.
CREATE TABLE rate (
  policy text NOT NULL,
  holder text NOT NULL,
  tat double precision NOT NULL,
  PRIMARY KEY (policy, holder)
);

-- The policies, the grants, and the line of those who wait, as JSON.
CREATE TABLE policy (
  source text NOT NULL CHECK (source IN ('configuration', 'administrator')),
  name text NOT NULL,
  body text NOT NULL,
  PRIMARY KEY (source, name)
);
CREATE TABLE permit (
  id text PRIMARY KEY,
  body text NOT NULL,
  expires_at double precision NOT NULL
);
CREATE TABLE waiting (
  key text PRIMARY KEY,
  body text NOT NULL
);

-- What users used lately of what others wait for, in seconds of the whole limit, as it was at a time.
CREATE TABLE share (
  grp text NOT NULL,
  "user" text NOT NULL,
  amount double precision NOT NULL,
  at double precision NOT NULL,
  PRIMARY KEY (grp, "user")
);

-- Writes what a batch of reservations changed, if the writer has seen all before it; tells whether it had.
-- Rows come as arrays of the tables' row types.
CREATE FUNCTION write_batch(
  seen bigint, attempt uuid, changes bytea, last_fence bigint, batch_at double precision,
  revived text[], closed text[], opened lease[], ended_rows ended[], returned_rows returned[], entries entry[],
  stocks stock[], spents spent[], rates rate[]
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  UPDATE head SET version = version + 1, fence = last_fence WHERE version = seen;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  INSERT INTO batch VALUES (seen + 1, attempt, batch_at, changes);
  IF cardinality(revived) > 0 THEN
    DELETE FROM ended WHERE key = ANY (revived);
  END IF;
  IF cardinality(closed) > 0 THEN
    DELETE FROM lease WHERE key = ANY (closed);
  END IF;
  IF cardinality(opened) > 0 THEN
    INSERT INTO lease SELECT * FROM unnest(opened)
    ON CONFLICT (key) DO UPDATE SET grp = excluded.grp, "user" = excluded."user", lines = excluded.lines,
      fence = excluded.fence, expires_at = excluded.expires_at, degraded = excluded.degraded;
  END IF;
  IF cardinality(ended_rows) > 0 THEN
    INSERT INTO ended SELECT * FROM unnest(ended_rows)
    ON CONFLICT (key) DO UPDATE SET grp = excluded.grp, "user" = excluded."user", lines = excluded.lines,
      fence = excluded.fence, expires_at = excluded.expires_at, degraded = excluded.degraded, how = excluded.how,
      at = excluded.at;
  END IF;
  IF cardinality(returned_rows) > 0 THEN
    INSERT INTO returned SELECT * FROM unnest(returned_rows);
  END IF;
  INSERT INTO entry SELECT * FROM unnest(entries);
  IF cardinality(stocks) > 0 THEN
    INSERT INTO stock SELECT * FROM unnest(stocks)
    ON CONFLICT (grp, "user", resource, edge) DO UPDATE SET amount = excluded.amount;
  END IF;
  IF cardinality(spents) > 0 THEN
    INSERT INTO spent SELECT * FROM unnest(spents)
    ON CONFLICT (grp, "user", resource, edge, span, bucket) DO UPDATE SET amount = spent.amount + excluded.amount;
  END IF;
  IF cardinality(rates) > 0 THEN
    INSERT INTO rate SELECT * FROM unnest(rates) ON CONFLICT (policy, holder) DO UPDATE SET tat = excluded.tat;
  END IF;
  RETURN true;
END $$;

-- The same for what changes seldom; to be called after `write_batch`, in the same transaction.
CREATE FUNCTION write_rest(
  policies_gone text[], policies policy[], permits_gone text[], permits permit[],
  waiting_gone text[], waitings waiting[], shares share[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM policy WHERE source || '/' || name = ANY (policies_gone);
  INSERT INTO policy SELECT * FROM unnest(policies) ON CONFLICT (source, name) DO UPDATE SET body = excluded.body;
  DELETE FROM permit WHERE id = ANY (permits_gone);
  INSERT INTO permit SELECT * FROM unnest(permits)
  ON CONFLICT (id) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at;
  DELETE FROM waiting WHERE key = ANY (waiting_gone);
  INSERT INTO waiting SELECT * FROM unnest(waitings) ON CONFLICT (key) DO UPDATE SET body = excluded.body;
  INSERT INTO share SELECT * FROM unnest(shares)
  ON CONFLICT (grp, "user") DO UPDATE SET amount = excluded.amount, at = excluded.at;
END $$;
