-- Keys that act for one agent with a part of its capabilities. The other database has the same table.

CREATE TABLE agent_api_keys (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  token_digest BYTEA NOT NULL,
  capabilities JSONB NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  last_used_at TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
);
CREATE INDEX agent_api_keys_by_agent_id_id ON agent_api_keys (org_id, agent_id, id);

-- As for the community's tables: the second line behind the tenant in every query.
ALTER TABLE agent_api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_api_keys USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
