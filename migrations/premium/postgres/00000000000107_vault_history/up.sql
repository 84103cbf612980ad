-- What a secret was at each moment, whose token AIM refreshes, and whose key it is. The other database has the same tables.

-- A row for each change of a secret: its newest version then, and how that stood.
CREATE TABLE vault_history (
  org_id UUID NOT NULL,
  secret_id UUID NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  change BIGINT NOT NULL,
  event TEXT NOT NULL,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  expires_at TIMESTAMPTZ,
  actor TEXT NOT NULL,
  PRIMARY KEY (org_id, secret_id, at, change)
);

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
  org_id UUID NOT NULL,
  secret_id UUID NOT NULL,
  version BIGINT NOT NULL,
  next_at TIMESTAMPTZ,
  failures BIGINT NOT NULL,
  last_error TEXT,
  refreshed_at TIMESTAMPTZ,
  attempt_at TIMESTAMPTZ,
  lost_at TIMESTAMPTZ,
  attempt_id UUID,
  PRIMARY KEY (org_id, secret_id)
);
CREATE INDEX vault_refreshes_by_next_at ON vault_refreshes (next_at) WHERE next_at IS NOT NULL;

-- Whose API key it is (stripe, openai, …), if that was said.
ALTER TABLE vault_secrets ADD COLUMN provider TEXT;

ALTER TABLE vault_history ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_history FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_history USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_refreshes ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_refreshes FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_refreshes USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
