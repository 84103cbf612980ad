-- What narrows an agent-scoped key, its rotation, and from where it was last used. The other database has the same.
ALTER TABLE agent_api_keys ADD COLUMN secret_paths JSONB;
ALTER TABLE agent_api_keys ADD COLUMN addresses JSONB;
ALTER TABLE agent_api_keys ADD COLUMN last_used_from TEXT;
ALTER TABLE agent_api_keys ADD COLUMN rotated_from UUID;
ALTER TABLE agent_api_keys ADD COLUMN retires_at TIMESTAMPTZ;

-- What an organisation's people may see of values. No row: nothing.
CREATE TABLE vault_reveal_settings (
  org_id UUID NOT NULL,
  mode TEXT NOT NULL,
  changed_by TEXT NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id)
);

-- A value shown to a person, or asked for. It never holds the value.
CREATE TABLE vault_reveals (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  secret_id UUID NOT NULL,
  path TEXT NOT NULL,
  version BIGINT NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  asked_by UUID NOT NULL,
  asked_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  answered_by UUID,
  answered_at TIMESTAMPTZ,
  note TEXT,
  taken_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX vault_reveals_by_state_id ON vault_reveals (org_id, state, id);
CREATE INDEX vault_reveals_by_asked_by_asked_at ON vault_reveals (org_id, asked_by, asked_at);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE vault_reveal_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_reveal_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_reveal_settings USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_reveals ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_reveals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_reveals USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
