-- The vault of secrets. The other database has the same tables.

-- Which root key wraps the organisations' keys: one for the installation, which other nodes must hold too.
CREATE TABLE vault_roots (
  slot INTEGER NOT NULL,
  root_key_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  parameters TEXT NOT NULL CHECK (json_valid(parameters)),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (slot),
  CHECK (slot = 1)
) STRICT;

-- An organisation's keys, wrapped by the root key. Purpose: wrap (data keys), index (heads and value digests).
CREATE TABLE vault_keys (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  purpose TEXT NOT NULL,
  root_key_id TEXT NOT NULL,
  wrapped BLOB NOT NULL,
  created_at INTEGER NOT NULL,
  retired_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE UNIQUE INDEX vault_keys_unique_purpose ON vault_keys (org_id, purpose) WHERE retired_at IS NULL;

-- A secret: what is known of it besides its values. head authenticates the row and the list of its versions.
CREATE TABLE vault_secrets (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  path TEXT NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  tags TEXT NOT NULL CHECK (json_valid(tags)),
  owner TEXT,
  expires_at INTEGER,
  max_versions INTEGER NOT NULL,
  oldest_version INTEGER NOT NULL,
  current_version INTEGER NOT NULL,
  changes INTEGER NOT NULL,
  head BLOB NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, path)
) STRICT;

-- The tags again, to find secrets by.
CREATE TABLE vault_tags (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  tag TEXT NOT NULL,
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  PRIMARY KEY (org_id, tag, secret_id)
) STRICT;
CREATE INDEX vault_tags_by_secret_id ON vault_tags (org_id, secret_id);

-- A version: its values under a data key of its own, which key_id wraps. Destroyed: the wrapped key is all zeroes.
CREATE TABLE vault_versions (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  version INTEGER NOT NULL,
  state TEXT NOT NULL,
  kind TEXT NOT NULL,
  field_names TEXT NOT NULL CHECK (json_valid(field_names)),
  key_id BLOB NOT NULL CHECK (length(key_id) = 16),
  wrapped_key BLOB NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  deleted_at INTEGER,
  destroyed_at INTEGER,
  rolled_back_from INTEGER,
  ciphertext BLOB NOT NULL,
  PRIMARY KEY (org_id, secret_id, version)
) STRICT;

-- Keyed digests of values, by which a leaked one is found. They go with their version.
CREATE TABLE vault_value_digests (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  digest BLOB NOT NULL,
  secret_id BLOB NOT NULL CHECK (length(secret_id) = 16),
  version INTEGER NOT NULL,
  field TEXT NOT NULL,
  PRIMARY KEY (org_id, digest, secret_id, version, field)
) STRICT;
CREATE INDEX vault_value_digests_by_secret_id ON vault_value_digests (org_id, secret_id, version);

-- Approvals by a person that were taken up by a read: each once.
CREATE TABLE vault_approvals_used (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  decision_id BLOB NOT NULL CHECK (length(decision_id) = 16),
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, decision_id)
) STRICT;
