-- The community edition's tables. The other database has the same ones; a test compares them.

CREATE TABLE installation (
  name TEXT NOT NULL,
  value BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (name)
);

CREATE TABLE organizations (
  id UUID NOT NULL,
  name TEXT NOT NULL,
  policy_epoch BIGINT NOT NULL DEFAULT 0,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE users (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  email TEXT NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  password_hash TEXT NOT NULL,
  status TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  last_login_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id),
  UNIQUE (email)
);

CREATE TABLE sessions (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  user_id UUID NOT NULL,
  token_digest BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  revoked_at TIMESTAMPTZ,
  source_ip TEXT,
  user_agent TEXT,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
);
CREATE INDEX sessions_by_user_id_id ON sessions (org_id, user_id, id);

CREATE TABLE sign_in_attempts (
  subject BYTEA NOT NULL,
  failures BIGINT NOT NULL,
  window_started_at TIMESTAMPTZ NOT NULL,
  locked_until TIMESTAMPTZ,
  PRIMARY KEY (subject)
);

CREATE TABLE setup_tokens (
  token_digest BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  used_at TIMESTAMPTZ,
  PRIMARY KEY (token_digest)
);

CREATE TABLE api_keys (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  prefix TEXT NOT NULL,
  token_digest BYTEA NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ,
  disabled_at TIMESTAMPTZ,
  last_used_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
);

CREATE TABLE agents (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  display_name TEXT NOT NULL,
  description TEXT NOT NULL,
  agent_type TEXT NOT NULL,
  version TEXT NOT NULL,
  status TEXT NOT NULL,
  owner_id UUID,
  tags JSONB NOT NULL,
  talks_to JSONB NOT NULL,
  repository_url TEXT,
  documentation_url TEXT,
  trust_score BIGINT,
  epoch BIGINT NOT NULL DEFAULT 0,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  deleted_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX agents_by_status_id ON agents (org_id, status, id);
CREATE INDEX agents_by_agent_type_id ON agents (org_id, agent_type, id);
CREATE UNIQUE INDEX agents_unique_name ON agents (org_id, name) WHERE deleted_at IS NULL;

CREATE TABLE agent_keys (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  fingerprint TEXT NOT NULL,
  public_key BYTEA NOT NULL,
  sequence BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  replaced_at TIMESTAMPTZ,
  grace_until TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  end_reason TEXT,
  created_by TEXT NOT NULL,
  created_reason TEXT NOT NULL,
  ended_by TEXT,
  generated_by TEXT NOT NULL,
  PRIMARY KEY (org_id, agent_id, fingerprint),
  UNIQUE (org_id, agent_id, sequence),
  UNIQUE (fingerprint)
);
CREATE INDEX agent_keys_by_expires_at ON agent_keys (org_id, expires_at);
CREATE INDEX agent_keys_by_agent_id ON agent_keys (agent_id);

CREATE TABLE key_expiry_warnings (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  fingerprint TEXT NOT NULL,
  days_left BIGINT NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, agent_id, fingerprint, days_left)
);

CREATE TABLE challenges (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  purpose TEXT NOT NULL,
  agent_id UUID,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  used_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX challenges_by_expires_at ON challenges (expires_at);

CREATE TABLE grants (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  capability TEXT NOT NULL,
  effect TEXT NOT NULL,
  scope JSONB NOT NULL,
  reason TEXT NOT NULL,
  granted_by TEXT NOT NULL,
  granted_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  revoked_by TEXT,
  last_used_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX grants_by_agent_id_id ON grants (org_id, agent_id, id);

CREATE TABLE grant_uses (
  org_id UUID NOT NULL,
  grant_id UUID NOT NULL,
  window_start TIMESTAMPTZ NOT NULL,
  uses BIGINT NOT NULL,
  PRIMARY KEY (org_id, grant_id, window_start)
);
CREATE INDEX grant_uses_by_window_start ON grant_uses (window_start);

CREATE TABLE capability_requests (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  capability TEXT NOT NULL,
  scope JSONB NOT NULL,
  reason TEXT NOT NULL,
  metadata JSONB NOT NULL,
  status TEXT NOT NULL,
  digest TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  requested_at TIMESTAMPTZ NOT NULL,
  reviewed_by TEXT,
  reviewed_at TIMESTAMPTZ,
  review_note TEXT,
  grant_id UUID,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX capability_requests_by_agent_id_id ON capability_requests (org_id, agent_id, id);
CREATE INDEX capability_requests_by_status_id ON capability_requests (org_id, status, id);

CREATE TABLE policies (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  name TEXT NOT NULL,
  effect TEXT NOT NULL,
  capability TEXT NOT NULL,
  resources JSONB NOT NULL,
  agent_types JSONB NOT NULL,
  trust_below BIGINT,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, name)
);

CREATE TABLE snapshots (
  org_id UUID NOT NULL,
  digest BYTEA NOT NULL,
  body TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, digest)
);

CREATE TABLE nonces (
  org_id UUID NOT NULL,
  digest BYTEA NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, digest)
);
CREATE INDEX nonces_by_expires_at ON nonces (expires_at);

CREATE TABLE decisions (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  action TEXT NOT NULL,
  resource TEXT,
  status TEXT NOT NULL,
  outcome TEXT NOT NULL,
  reason_codes JSONB NOT NULL,
  decider TEXT,
  grant_id UUID,
  risk TEXT NOT NULL,
  credential TEXT NOT NULL,
  scheme TEXT NOT NULL,
  source_ip TEXT,
  snapshot_digest BYTEA NOT NULL,
  inputs TEXT NOT NULL,
  verdict TEXT NOT NULL,
  salt BYTEA NOT NULL,
  leaf_index BIGINT NOT NULL,
  expires_at TIMESTAMPTZ,
  resolved_at TIMESTAMPTZ,
  resolved_by TEXT,
  resolution_note TEXT,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX decisions_by_status_id ON decisions (org_id, status, id) WHERE status = 'pending';

CREATE TABLE decision_results (
  org_id UUID NOT NULL,
  decision_id UUID NOT NULL,
  outcome TEXT NOT NULL,
  summary TEXT,
  error_message TEXT,
  authenticated BOOLEAN NOT NULL,
  reported_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, decision_id)
);

CREATE TABLE violations (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  agent_name TEXT NOT NULL,
  decision_id UUID NOT NULL,
  attempted_capability TEXT NOT NULL,
  resource TEXT,
  registered_capabilities JSONB NOT NULL,
  severity TEXT NOT NULL,
  trust_score_impact BIGINT NOT NULL,
  is_blocked BOOLEAN NOT NULL,
  source_ip TEXT,
  request_metadata JSONB NOT NULL,
  reason_codes JSONB NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX violations_by_agent_id_id ON violations (org_id, agent_id, id);
CREATE INDEX violations_by_agent_id_severity_id ON violations (org_id, agent_id, severity, id);
CREATE INDEX violations_by_severity_id ON violations (org_id, severity, id);
CREATE INDEX violations_by_attempted_capability_severity_id ON violations (org_id, attempted_capability, severity, id);

CREATE TABLE violation_groups (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  agent_name TEXT NOT NULL,
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  severity TEXT NOT NULL,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  last_violation_id UUID NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (org_id, agent_id, attempted_capability, reason_code)
);
CREATE INDEX violation_groups_by_last_violation_id ON violation_groups (org_id, last_violation_id);
CREATE INDEX violation_groups_by_agent_id_last_violation_id ON violation_groups (org_id, agent_id, last_violation_id);

CREATE TABLE violation_counts (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  granularity TEXT NOT NULL,
  bucket TIMESTAMPTZ NOT NULL,
  severity TEXT NOT NULL,
  attempted_capability TEXT NOT NULL,
  is_blocked BOOLEAN NOT NULL,
  count BIGINT NOT NULL,
  PRIMARY KEY (org_id, agent_id, granularity, attempted_capability, bucket, severity, is_blocked)
);

CREATE TABLE audit_head (
  id BIGINT NOT NULL,
  size BIGINT NOT NULL,
  link BYTEA NOT NULL,
  PRIMARY KEY (id)
);

CREATE TABLE audit_log (
  leaf_index BIGINT NOT NULL,
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  kind TEXT NOT NULL,
  action TEXT NOT NULL,
  actor_kind TEXT NOT NULL,
  actor_id TEXT,
  agent_id UUID,
  target_kind TEXT NOT NULL,
  target_id TEXT,
  outcome TEXT NOT NULL,
  leaf TEXT NOT NULL,
  leaf_hash BYTEA NOT NULL,
  link BYTEA NOT NULL,
  details JSONB,
  salt BYTEA,
  PRIMARY KEY (leaf_index)
);
CREATE INDEX audit_log_by_leaf_index ON audit_log (org_id, leaf_index);
CREATE INDEX audit_log_by_agent_id_leaf_index ON audit_log (org_id, agent_id, leaf_index);
CREATE INDEX audit_log_by_created_at_leaf_index ON audit_log (org_id, created_at, leaf_index);
CREATE INDEX audit_log_events_by_leaf_index ON audit_log (org_id, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_action_leaf_index ON audit_log (org_id, action, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_actor_id_leaf_index ON audit_log (org_id, actor_id, leaf_index) WHERE kind = 'event';
CREATE INDEX audit_log_by_target_id_leaf_index ON audit_log (org_id, target_id, leaf_index) WHERE kind = 'event';

CREATE TABLE jobs (
  name TEXT NOT NULL,
  due_at TIMESTAMPTZ NOT NULL,
  lease_owner TEXT,
  lease_until TIMESTAMPTZ,
  fencing BIGINT NOT NULL DEFAULT 0,
  attempts BIGINT NOT NULL DEFAULT 0,
  last_error TEXT,
  last_run_at TIMESTAMPTZ,
  dead_at TIMESTAMPTZ,
  PRIMARY KEY (name)
);

INSERT INTO audit_head (id, size, link) VALUES (1, 0, '\x0000000000000000000000000000000000000000000000000000000000000000'::bytea);

-- Append-only: a record is never changed or removed, but its personal details may be erased.
CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_log_is_never_changed
BEFORE UPDATE OF leaf_index, org_id, id, created_at, kind, action, actor_kind, actor_id, agent_id,
  target_kind, target_id, outcome, leaf, leaf_hash, link ON audit_log
FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
CREATE TRIGGER audit_log_is_never_removed BEFORE DELETE ON audit_log
FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only();
