-- The vault of secrets. The other database has the same tables.

-- Which root key wraps the organisations' keys: one for the installation, which other nodes must hold too.
CREATE TABLE vault_roots (
  slot BIGINT NOT NULL,
  root_key_id TEXT NOT NULL,
  provider TEXT NOT NULL,
  parameters JSONB NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (slot),
  CHECK (slot = 1)
);

-- An organisation's keys, wrapped by the root key. Purpose: wrap (data keys), index (heads and value digests).
CREATE TABLE vault_keys (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  purpose TEXT NOT NULL,
  root_key_id TEXT NOT NULL,
  wrapped BYTEA NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  retired_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX vault_keys_unique_purpose ON vault_keys (org_id, purpose) WHERE retired_at IS NULL;

-- A secret: what is known of it besides its values. head authenticates the row and the list of its versions.
CREATE TABLE vault_secrets (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  path TEXT COLLATE "C" NOT NULL,
  kind TEXT NOT NULL,
  description TEXT NOT NULL,
  tags JSONB NOT NULL,
  owner TEXT,
  expires_at TIMESTAMPTZ,
  max_versions BIGINT NOT NULL,
  oldest_version BIGINT NOT NULL,
  current_version BIGINT NOT NULL,
  changes BIGINT NOT NULL,
  head BYTEA NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id),
  UNIQUE (org_id, path)
);

-- The tags again, to find secrets by.
CREATE TABLE vault_tags (
  org_id UUID NOT NULL,
  tag TEXT NOT NULL,
  secret_id UUID NOT NULL,
  PRIMARY KEY (org_id, tag, secret_id)
);
CREATE INDEX vault_tags_by_secret_id ON vault_tags (org_id, secret_id);

-- A version: its values under a data key of its own, which key_id wraps. Destroyed: the wrapped key is all zeroes.
CREATE TABLE vault_versions (
  org_id UUID NOT NULL,
  secret_id UUID NOT NULL,
  version BIGINT NOT NULL,
  state TEXT NOT NULL,
  kind TEXT NOT NULL,
  field_names JSONB NOT NULL,
  key_id UUID NOT NULL,
  wrapped_key BYTEA NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  deleted_at TIMESTAMPTZ,
  destroyed_at TIMESTAMPTZ,
  rolled_back_from BIGINT,
  ciphertext BYTEA NOT NULL,
  PRIMARY KEY (org_id, secret_id, version)
);

-- Keyed digests of values, by which a leaked one is found. They go with their version.
CREATE TABLE vault_value_digests (
  org_id UUID NOT NULL,
  digest BYTEA NOT NULL,
  secret_id UUID NOT NULL,
  version BIGINT NOT NULL,
  field TEXT NOT NULL,
  PRIMARY KEY (org_id, digest, secret_id, version, field)
);
CREATE INDEX vault_value_digests_by_secret_id ON vault_value_digests (org_id, secret_id, version);

-- Approvals by a person that were taken up by a read: each once.
CREATE TABLE vault_approvals_used (
  org_id UUID NOT NULL,
  decision_id UUID NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, decision_id)
);

-- As for the community's tables: the second line behind the tenant in every query.
ALTER TABLE vault_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_keys USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_secrets FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_secrets USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_tags FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_tags USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_versions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_versions USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_value_digests ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_value_digests FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_value_digests USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE vault_approvals_used ENABLE ROW LEVEL SECURITY;
ALTER TABLE vault_approvals_used FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON vault_approvals_used USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
