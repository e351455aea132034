-- What was computed of the bytes that were copied, whichever function it was.

ALTER TABLE objects ADD COLUMN digest TEXT; -- multihash; takes the place of sha256, which stays as it was
UPDATE objects SET digest = '1220' || sha256 WHERE sha256 IS NOT NULL;
