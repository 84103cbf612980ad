-- What narrows an agent-scoped key, its rotation, and from where it was last used. The other database has the same.
ALTER TABLE agent_api_keys ADD COLUMN secret_paths TEXT CHECK (json_valid(secret_paths));
ALTER TABLE agent_api_keys ADD COLUMN addresses TEXT CHECK (json_valid(addresses));
ALTER TABLE agent_api_keys ADD COLUMN last_used_from TEXT;
ALTER TABLE agent_api_keys ADD COLUMN rotated_from BLOB CHECK (length(rotated_from) = 16);
ALTER TABLE agent_api_keys ADD COLUMN retires_at INTEGER;

-- What an organisation's people may see of values. No row: nothing.
CREATE TABLE vault_reveal_settings (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  mode TEXT NOT NULL,
  changed_by TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (org_id)
) STRICT;

-- A value shown to a person, or asked for. It never holds the value.
CREATE TABLE vault_reveals (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  path TEXT NOT NULL,
  version INTEGER NOT NULL,
  reason TEXT NOT NULL,
  state TEXT NOT NULL,
  asked_by BLOB NOT NULL CHECK (length(asked_by) = 16),
  asked_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  answered_by BLOB CHECK (length(answered_by) = 16),
  answered_at INTEGER,
  note TEXT,
  taken_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX vault_reveals_by_state_id ON vault_reveals (org_id, state, id);
CREATE INDEX vault_reveals_by_asked_by_asked_at ON vault_reveals (org_id, asked_by, asked_at);
