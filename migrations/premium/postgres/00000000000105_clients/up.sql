-- What clients of the vault need: the namespaces of the published SDK, and tokens that hand a secret over once.
-- The other database has the same tables.

-- A namespace of the published SDK: its credential is the secret at sdk/{agent}/{namespace}.
CREATE TABLE sdk_namespaces (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  namespace TEXT NOT NULL,
  operations JSONB NOT NULL,
  url_patterns JSONB NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, agent_id, namespace)
);

-- A wrap token: a keyed digest of it, what it hands over, and whether it did. The secret itself is not copied.
CREATE TABLE vault_wraps (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  token_digest BYTEA NOT NULL,
  path TEXT NOT NULL,
  version BIGINT NOT NULL,
  for_agent UUID,
  made_by_agent UUID,
  decision_id UUID,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  used_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id),
  CHECK (length(token_digest) = 32)
);
CREATE UNIQUE INDEX vault_wraps_unique_token_digest ON vault_wraps (token_digest);
CREATE INDEX vault_wraps_by_expires_at ON vault_wraps (expires_at);

-- As for the community's tables: the second line behind the tenant in every query.
ALTER TABLE sdk_namespaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE sdk_namespaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sdk_namespaces USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_wraps ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_wraps FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_wraps USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
