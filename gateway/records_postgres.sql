-- Records of several kinds, each a JSON document under its kind and id. `version` grows with every write.
CREATE SEQUENCE IF NOT EXISTS record_version;
CREATE TABLE IF NOT EXISTS records (
  kind text NOT NULL,
  id text NOT NULL,
  body text NOT NULL,
  version bigint NOT NULL,
  PRIMARY KEY (kind, id)
);
