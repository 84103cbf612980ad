-- The community edition's tables. The other database has the same ones; a test compares them.

CREATE TABLE installation (
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (name)
) STRICT, WITHOUT ROWID;

CREATE TABLE organizations (
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  policy_epoch INTEGER NOT NULL DEFAULT 0,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  last_login_at INTEGER,
  PRIMARY KEY (org_id, id),
  UNIQUE (email)
) STRICT;

CREATE TABLE sessions (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  user_id BLOB NOT NULL CHECK (length(user_id) = 16),
  token_digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  revoked_at INTEGER,
  source_ip TEXT,
  user_agent TEXT,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
) STRICT;
CREATE INDEX sessions_by_user_id_id ON sessions (org_id, user_id, id);

CREATE TABLE sign_in_attempts (
  subject BLOB NOT NULL,
  failures INTEGER NOT NULL,
  window_started_at INTEGER NOT NULL,
  locked_until INTEGER,
  PRIMARY KEY (subject)
) STRICT, WITHOUT ROWID;

CREATE TABLE setup_tokens (
  token_digest BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (token_digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  prefix TEXT NOT NULL,
  token_digest BLOB NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  disabled_at INTEGER,
  last_used_at INTEGER,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
) STRICT;

CREATE TABLE agents (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  display_name TEXT NOT NULL,
  description TEXT NOT NULL,
  agent_type TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,
  owner_id BLOB CHECK (owner_id IS NULL OR length(owner_id) = 16),
  tags TEXT NOT NULL CHECK (json_valid(tags)),
  talks_to TEXT NOT NULL CHECK (json_valid(talks_to)),
  repository_url TEXT,
  documentation_url TEXT,
  trust_score INTEGER,
  epoch INTEGER NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  deleted_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX agents_by_status_id ON agents (org_id, status, id);
CREATE INDEX agents_by_agent_type_id ON agents (org_id, agent_type, id);
CREATE UNIQUE INDEX agents_unique_name ON agents (org_id, name) WHERE deleted_at IS NULL;

CREATE TABLE agent_keys (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  fingerprint TEXT NOT NULL,
  public_key BLOB NOT NULL,
  sequence INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  replaced_at INTEGER,
  grace_until INTEGER,
  revoked_at INTEGER,
  end_reason TEXT,
  created_by TEXT NOT NULL,
  created_reason TEXT NOT NULL,
  ended_by TEXT,
  generated_by TEXT NOT NULL,
  PRIMARY KEY (org_id, agent_id, fingerprint),
  UNIQUE (org_id, agent_id, sequence),
  UNIQUE (fingerprint)
) STRICT;
CREATE INDEX agent_keys_by_expires_at ON agent_keys (org_id, expires_at);
CREATE INDEX agent_keys_by_agent_id ON agent_keys (agent_id);

CREATE TABLE key_expiry_warnings (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  fingerprint TEXT NOT NULL,
  days_left INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, fingerprint, days_left)
) STRICT;

CREATE TABLE challenges (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  purpose TEXT NOT NULL,
  agent_id BLOB CHECK (agent_id IS NULL OR length(agent_id) = 16),
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX challenges_by_expires_at ON challenges (expires_at);

CREATE TABLE grants (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  capability TEXT NOT NULL,
  effect TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (json_valid(scope)),
  reason TEXT NOT NULL,
  granted_by TEXT NOT NULL,
  granted_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER,
  revoked_by TEXT,
  last_used_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX grants_by_agent_id_id ON grants (org_id, agent_id, id);

CREATE TABLE grant_uses (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  grant_id BLOB NOT NULL CHECK (length(grant_id) = 16),
  window_start INTEGER NOT NULL,
  uses INTEGER NOT NULL,
  PRIMARY KEY (org_id, grant_id, window_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_uses_by_window_start ON grant_uses (window_start);

CREATE TABLE capability_requests (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  capability TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (json_valid(scope)),
  reason TEXT NOT NULL,
  metadata TEXT NOT NULL CHECK (json_valid(metadata)),
  status TEXT NOT NULL,
  digest TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  requested_at INTEGER NOT NULL,
  reviewed_by TEXT,
  reviewed_at INTEGER,
  review_note TEXT,
  grant_id BLOB CHECK (grant_id IS NULL OR length(grant_id) = 16),
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX capability_requests_by_agent_id_id ON capability_requests (org_id, agent_id, id);
CREATE INDEX capability_requests_by_status_id ON capability_requests (org_id, status, id);

CREATE TABLE policies (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  name TEXT NOT NULL,
  effect TEXT NOT NULL,
  capability TEXT NOT NULL,
  resources TEXT NOT NULL CHECK (json_valid(resources)),
  agent_types TEXT NOT NULL CHECK (json_valid(agent_types)),
  trust_below INTEGER,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, name)
) STRICT;

CREATE TABLE snapshots (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  digest BLOB NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE nonces (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  digest BLOB NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonces_by_expires_at ON nonces (expires_at);

CREATE TABLE decisions (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  created_at INTEGER NOT NULL,
  action TEXT NOT NULL,
  resource TEXT,
  status TEXT NOT NULL,
  outcome TEXT NOT NULL,
  reason_codes TEXT NOT NULL CHECK (json_valid(reason_codes)),
  decider TEXT,
  grant_id BLOB CHECK (grant_id IS NULL OR length(grant_id) = 16),
  risk TEXT NOT NULL,
  credential TEXT NOT NULL,
  scheme TEXT NOT NULL,
  source_ip TEXT,
  snapshot_digest BLOB NOT NULL,
  inputs TEXT NOT NULL,
  verdict TEXT NOT NULL,
  salt BLOB NOT NULL,
  leaf_index INTEGER NOT NULL,
  expires_at INTEGER,
  resolved_at INTEGER,
  resolved_by TEXT,
  resolution_note TEXT,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX decisions_by_status_id ON decisions (org_id, status, id) WHERE status = 'pending';

CREATE TABLE decision_results (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  decision_id BLOB NOT NULL CHECK (length(decision_id) = 16),
  outcome TEXT NOT NULL,
  summary TEXT,
  error_message TEXT,
  authenticated INTEGER NOT NULL CHECK (authenticated IN (0, 1)),
  reported_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, decision_id)
) STRICT;

CREATE TABLE violations (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  agent_name TEXT NOT NULL,
  decision_id BLOB NOT NULL CHECK (length(decision_id) = 16),
  attempted_capability TEXT NOT NULL,
  resource TEXT,
  registered_capabilities TEXT NOT NULL CHECK (json_valid(registered_capabilities)),
  severity TEXT NOT NULL,
  trust_score_impact INTEGER NOT NULL,
  is_blocked INTEGER NOT NULL CHECK (is_blocked IN (0, 1)),
  source_ip TEXT,
  request_metadata TEXT NOT NULL CHECK (json_valid(request_metadata)),
  reason_codes TEXT NOT NULL CHECK (json_valid(reason_codes)),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX violations_by_agent_id_id ON violations (org_id, agent_id, id);
CREATE INDEX violations_by_agent_id_severity_id ON violations (org_id, agent_id, severity, id);
CREATE INDEX violations_by_severity_id ON violations (org_id, severity, id);
CREATE INDEX violations_by_attempted_capability_severity_id ON violations (org_id, attempted_capability, severity, id);
-- What SQLite is to assume of a large table. Without it, it guesses that an organisation has ten rows, and
-- reads all severities of a range of time where it should read the one that is asked for.
ANALYZE violations;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
  ('violations', 'sqlite_autoindex_violations_1', '10000000 1000000 1'),
  ('violations', 'violations_by_agent_id_id', '10000000 1000000 1000 1'),
  ('violations', 'violations_by_severity_id', '10000000 1000000 250000 1'),
  ('violations', 'violations_by_attempted_capability_severity_id', '10000000 1000000 20000 5000 1'),
  ('violations', 'violations_by_agent_id_severity_id', '10000000 1000000 1000 250 1');

CREATE TABLE violation_groups (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  agent_name TEXT NOT NULL,
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  severity TEXT NOT NULL,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  last_violation_id BLOB NOT NULL CHECK (length(last_violation_id) = 16),
  count INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, attempted_capability, reason_code)
) STRICT;
CREATE INDEX violation_groups_by_last_violation_id ON violation_groups (org_id, last_violation_id);
CREATE INDEX violation_groups_by_agent_id_last_violation_id ON violation_groups (org_id, agent_id, last_violation_id);

CREATE TABLE violation_counts (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  granularity TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  severity TEXT NOT NULL,
  attempted_capability TEXT NOT NULL,
  is_blocked INTEGER NOT NULL CHECK (is_blocked IN (0, 1)),
  count INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, granularity, attempted_capability, bucket, severity, is_blocked)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_head (
  id INTEGER PRIMARY KEY NOT NULL,
  size INTEGER NOT NULL,
  link BLOB NOT NULL
) STRICT;

CREATE TABLE audit_log (
  leaf_index INTEGER PRIMARY KEY NOT NULL,
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  created_at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  action TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  agent_id BLOB CHECK (agent_id IS NULL OR length(agent_id) = 16),
  target_kind TEXT NOT NULL,
  target_id TEXT,
  outcome TEXT NOT NULL,
  leaf TEXT NOT NULL,
  leaf_hash BLOB NOT NULL,
  link BLOB NOT NULL,
  details TEXT CHECK (json_valid(details)),
  salt BLOB
) STRICT;
CREATE INDEX audit_log_by_leaf_index ON audit_log (org_id, leaf_index);
CREATE INDEX audit_log_by_agent_id_leaf_index ON audit_log (org_id, agent_id, leaf_index);
CREATE INDEX audit_log_by_created_at_leaf_index ON audit_log (org_id, created_at, leaf_index);
CREATE INDEX audit_log_events_by_leaf_index ON audit_log (org_id, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_action_leaf_index ON audit_log (org_id, action, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_actor_id_leaf_index ON audit_log (org_id, actor_id, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_target_id_leaf_index ON audit_log (org_id, target_id, leaf_index) WHERE kind = 'event';

CREATE TABLE jobs (
  name TEXT NOT NULL,
  due_at INTEGER NOT NULL,
  lease_owner TEXT,
  lease_until INTEGER,
  fencing INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  last_error TEXT,
  last_run_at INTEGER,
  dead_at INTEGER,
  PRIMARY KEY (name)
) STRICT;

INSERT INTO audit_head (id, size, link) VALUES (1, 0, X'0000000000000000000000000000000000000000000000000000000000000000');

-- Append-only: a record is never changed or removed, but its personal details may be erased.
CREATE TRIGGER audit_log_is_never_changed
BEFORE UPDATE OF leaf_index, org_id, id, created_at, kind, action, actor_kind, actor_id, agent_id,
  target_kind, target_id, outcome, leaf, leaf_hash, link ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_log_is_never_removed BEFORE DELETE ON audit_log
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
