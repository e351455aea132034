-- What a plan's items are called, so that they are spread without being read; NULL: planned by an earlier release.

ALTER TABLE planned ADD COLUMN collection TEXT;
ALTER TABLE planned ADD COLUMN item_id TEXT;
