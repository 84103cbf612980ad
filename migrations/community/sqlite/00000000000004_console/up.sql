-- What users asked the console to remember.
CREATE TABLE user_preferences (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  user_id BLOB NOT NULL CHECK (length(user_id) = 16),
  name TEXT NOT NULL,
  value TEXT NOT NULL CHECK (json_valid(value)),
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, user_id, name)
) STRICT, WITHOUT ROWID;

-- Links that sign a user in once, made by the operator. A link that was used is gone.
CREATE TABLE sign_in_links (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  user_id BLOB NOT NULL CHECK (length(user_id) = 16),
  token_digest BLOB NOT NULL CHECK (length(token_digest) = 32),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
) STRICT, WITHOUT ROWID;
