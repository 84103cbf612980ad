-- What a secret was at each moment, whose token AIM refreshes, and whose key it is. The other database has the same tables.

-- A row for each change of a secret: its newest version then, and how that stood.
CREATE TABLE vault_history (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  at INTEGER NOT NULL,
  change INTEGER NOT NULL,
  event TEXT NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  expires_at INTEGER,
  actor TEXT NOT NULL,
  PRIMARY KEY (org_id, secret_id, at, change)
) STRICT;

-- What is known of the time before: when each version that is kept was written, and how the newest one stands.
INSERT INTO vault_history (org_id, secret_id, at, change, event, version, state, expires_at, actor)
  SELECT v.org_id, v.secret_id, v.created_at, v.version - 1000000000, 'backfilled', v.version, 'active',
    CASE WHEN v.version = s.current_version THEN s.expires_at END, v.created_by
  FROM vault_versions v JOIN vault_secrets s ON s.org_id = v.org_id AND s.id = v.secret_id;
INSERT INTO vault_history (org_id, secret_id, at, change, event, version, state, expires_at, actor)
  SELECT v.org_id, v.secret_id, COALESCE(v.destroyed_at, v.deleted_at, s.updated_at), 0, 'backfilled', v.version, v.state,
    s.expires_at, 'system'
  FROM vault_versions v JOIN vault_secrets s ON s.org_id = v.org_id AND s.id = v.secret_id AND s.current_version = v.version
  WHERE v.state <> 'active';

-- Secrets of kind oauth whose access token AIM refreshes. attempt_at: a call goes out, and its answer is not stored yet.
-- lost_at: when the last call went out whose answer never came.
CREATE TABLE vault_refreshes (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  version INTEGER NOT NULL,
  next_at INTEGER,
  failures INTEGER NOT NULL,
  last_error TEXT,
  refreshed_at INTEGER,
  attempt_at INTEGER,
  lost_at INTEGER,
  attempt_id BLOB CHECK (attempt_id IS NULL OR length(attempt_id) = 16),
  PRIMARY KEY (org_id, secret_id)
) STRICT;
CREATE INDEX vault_refreshes_by_next_at ON vault_refreshes (next_at) WHERE next_at IS NOT NULL;

-- Whose API key it is (stripe, openai, …), if that was said.
ALTER TABLE vault_secrets ADD COLUMN provider TEXT;
