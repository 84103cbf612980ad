ALTER TABLE vault_wraps DROP COLUMN revoked_by;
ALTER TABLE vault_wraps DROP COLUMN revoked_at;
ALTER TABLE vault_wraps DROP COLUMN reason;
