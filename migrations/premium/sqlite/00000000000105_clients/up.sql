-- What clients of the vault need: the namespaces of the published SDK, and tokens that hand a secret over once.
-- The other database has the same tables.

-- A namespace of the published SDK: its credential is the secret at sdk/{agent}/{namespace}.
CREATE TABLE sdk_namespaces (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  namespace TEXT NOT NULL,
  operations TEXT NOT NULL CHECK (json_valid(operations)),
  url_patterns TEXT NOT NULL CHECK (json_valid(url_patterns)),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, agent_id, namespace)
) STRICT;

-- A wrap token: a keyed digest of it, what it hands over, and whether it did. The secret itself is not copied.
CREATE TABLE vault_wraps (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  token_digest BLOB NOT NULL CHECK (length(token_digest) = 32),
  path TEXT NOT NULL,
  version INTEGER NOT NULL,
  for_agent BLOB CHECK (length(for_agent) = 16),
  made_by_agent BLOB CHECK (length(made_by_agent) = 16),
  decision_id BLOB CHECK (length(decision_id) = 16),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  used_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE UNIQUE INDEX vault_wraps_unique_token_digest ON vault_wraps (token_digest);
CREATE INDEX vault_wraps_by_expires_at ON vault_wraps (expires_at);
