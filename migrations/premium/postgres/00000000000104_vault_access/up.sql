-- The access audit of the vault. The other database has the same tables.

-- Who asked for which secret, and what came of it: one row a decision or a delivery, made from the audit log.
CREATE TABLE vault_accesses (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  decision_id UUID,
  path TEXT COLLATE "C" NOT NULL,
  agent_id UUID,
  actor TEXT NOT NULL,
  at TIMESTAMPTZ NOT NULL,
  outcome TEXT NOT NULL,
  version BIGINT,
  delivery TEXT,
  decided_by TEXT,
  reasons JSONB NOT NULL,
  source_ip TEXT,
  leaf_index BIGINT NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX vault_accesses_by_path_id ON vault_accesses (org_id, path, id);
CREATE INDEX vault_accesses_by_agent_id_id ON vault_accesses (org_id, agent_id, id);

-- A secret and an agent that asked for it; the agent of zeros stands for people. hours_seen: a bit for each hour of
-- the day (0 to 23, UTC) and each day of the week (24 to 30, from Monday) at which it was read.
CREATE TABLE vault_access_pairs (
  org_id UUID NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  agent_id UUID NOT NULL,
  approved BIGINT NOT NULL,
  denied BIGINT NOT NULL,
  first_read_at TIMESTAMPTZ,
  last_read_at TIMESTAMPTZ,
  last_denied_at TIMESTAMPTZ,
  hours_seen BIGINT NOT NULL,
  PRIMARY KEY (org_id, path, agent_id)
);
CREATE INDEX vault_access_pairs_by_agent_id_path ON vault_access_pairs (org_id, agent_id, path);

-- The same by hour.
CREATE TABLE vault_access_hours (
  org_id UUID NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  agent_id UUID NOT NULL,
  hour TIMESTAMPTZ NOT NULL,
  approved BIGINT NOT NULL,
  denied BIGINT NOT NULL,
  pending BIGINT NOT NULL,
  PRIMARY KEY (org_id, path, agent_id, hour)
);
CREATE INDEX vault_access_hours_by_agent_id_hour ON vault_access_hours (org_id, agent_id, hour);
CREATE INDEX vault_access_hours_by_hour ON vault_access_hours (org_id, hour);

-- Paths that nobody has a reason to read.
CREATE TABLE vault_honeytokens (
  org_id UUID NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  shape TEXT NOT NULL,
  note TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, path)
);

-- The thresholds of an organisation, where they are not the usual ones.
CREATE TABLE vault_access_settings (
  org_id UUID NOT NULL,
  settings JSONB NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id)
);

-- As for the community's tables: the second line behind the tenant in every query.
ALTER TABLE vault_accesses ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_accesses FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_accesses USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_access_pairs ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_access_pairs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_access_pairs USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_access_hours ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_access_hours FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_access_hours USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_honeytokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_honeytokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_honeytokens USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_access_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_access_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_access_settings USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
