-- A log, to which nonces are appended: the writer knows in memory what is in it. Under a unique key each nonce was written to
-- two pages of its own, one of the table and one of the index by expiry, which was most of what a decision wrote.
CREATE TABLE nonce_log (
  id INTEGER NOT NULL PRIMARY KEY,
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  digest BLOB NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT;
INSERT INTO nonce_log (org_id, digest, expires_at) SELECT org_id, digest, expires_at FROM nonces;
DROP TABLE nonces;
ALTER TABLE nonce_log RENAME TO nonces;
