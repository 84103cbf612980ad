-- Keys that act for one agent with a part of its capabilities. The other database has the same table.

CREATE TABLE agent_api_keys (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  name TEXT NOT NULL,
  prefix TEXT NOT NULL,
  token_digest BLOB NOT NULL,
  capabilities TEXT NOT NULL CHECK (json_valid(capabilities)),
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  last_used_at INTEGER,
  revoked_at INTEGER,
  PRIMARY KEY (org_id, id),
  UNIQUE (token_digest)
) STRICT;
CREATE INDEX agent_api_keys_by_agent_id_id ON agent_api_keys (org_id, agent_id, id);
