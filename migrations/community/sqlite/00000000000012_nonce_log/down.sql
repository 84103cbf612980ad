CREATE TABLE nonce_keys (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  digest BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, digest)
) STRICT, WITHOUT ROWID;
INSERT INTO nonce_keys (org_id, digest, expires_at) SELECT org_id, digest, max(expires_at) FROM nonces GROUP BY org_id, digest;
DROP TABLE nonces;
ALTER TABLE nonce_keys RENAME TO nonces;
CREATE INDEX nonces_by_expires_at ON nonces (expires_at);
