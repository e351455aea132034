-- Records of one kind, each a JSON document under its id.
CREATE TABLE IF NOT EXISTS records (
  id TEXT PRIMARY KEY,
  body BLOB NOT NULL
) WITHOUT ROWID;
