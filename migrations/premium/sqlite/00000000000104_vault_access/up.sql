-- The access audit of the vault. The other database has the same tables.

-- Who asked for which secret, and what came of it: one row a decision or a delivery, made from the audit log.
CREATE TABLE vault_accesses (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  decision_id BLOB CHECK (length(decision_id) = 16),
  path TEXT NOT NULL,
  agent_id BLOB CHECK (length(agent_id) = 16),
  actor TEXT NOT NULL,
  at INTEGER NOT NULL,
  outcome TEXT NOT NULL,
  version INTEGER,
  delivery TEXT,
  decided_by TEXT,
  reasons TEXT NOT NULL CHECK (json_valid(reasons)),
  source_ip TEXT,
  leaf_index INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX vault_accesses_by_path_id ON vault_accesses (org_id, path, id);
CREATE INDEX vault_accesses_by_agent_id_id ON vault_accesses (org_id, agent_id, id);

-- A secret and an agent that asked for it; the agent of zeros stands for people. hours_seen: a bit for each hour of
-- the day (0 to 23, UTC) and each day of the week (24 to 30, from Monday) at which it was read.
CREATE TABLE vault_access_pairs (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  path TEXT NOT NULL,
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  approved INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  first_read_at INTEGER,
  last_read_at INTEGER,
  last_denied_at INTEGER,
  hours_seen INTEGER NOT NULL,
  PRIMARY KEY (org_id, path, agent_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX vault_access_pairs_by_agent_id_path ON vault_access_pairs (org_id, agent_id, path);

-- The same by hour.
CREATE TABLE vault_access_hours (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  path TEXT NOT NULL,
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  hour INTEGER NOT NULL,
  approved INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  pending INTEGER NOT NULL,
  PRIMARY KEY (org_id, path, agent_id, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX vault_access_hours_by_agent_id_hour ON vault_access_hours (org_id, agent_id, hour);
CREATE INDEX vault_access_hours_by_hour ON vault_access_hours (org_id, hour);

-- Paths that nobody has a reason to read.
CREATE TABLE vault_honeytokens (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  path TEXT NOT NULL,
  shape TEXT NOT NULL,
  note TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, path)
) STRICT, WITHOUT ROWID;

-- The thresholds of an organisation, where they are not the usual ones.
CREATE TABLE vault_access_settings (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  settings TEXT NOT NULL CHECK (json_valid(settings)),
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id)
) STRICT, WITHOUT ROWID;
