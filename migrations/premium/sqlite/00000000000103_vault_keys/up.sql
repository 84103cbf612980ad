-- Rotation of the vault's keys, and its seal. The other database has the same columns.

-- Set: somebody sealed the vault. The epoch moves with every change that nodes must notice which hold keys in memory.
ALTER TABLE vault_roots ADD COLUMN sealed_at INTEGER;
ALTER TABLE vault_roots ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1;

-- How far the work on a retired key has come: the secret behind which it goes on, how many did not open, and when that was
-- last tried.
ALTER TABLE vault_keys ADD COLUMN done_until BLOB CHECK (length(done_until) = 16);
ALTER TABLE vault_keys ADD COLUMN stuck INTEGER NOT NULL DEFAULT 0;
ALTER TABLE vault_keys ADD COLUMN tried_at INTEGER;

-- The versions under a key, in the order in which another key takes them over.
CREATE INDEX vault_versions_by_key ON vault_versions (org_id, key_id, secret_id, version);
-- Retired keys are few, and looked for by all nodes.
CREATE INDEX vault_keys_retired ON vault_keys (org_id, id) WHERE retired_at IS NOT NULL;
