DROP INDEX vault_keys_retired;
DROP INDEX vault_versions_by_key;
ALTER TABLE vault_keys DROP COLUMN tried_at;
ALTER TABLE vault_keys DROP COLUMN stuck;
ALTER TABLE vault_keys DROP COLUMN done_until;
ALTER TABLE vault_roots DROP COLUMN epoch;
ALTER TABLE vault_roots DROP COLUMN sealed_at;
