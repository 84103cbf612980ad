-- Why a wrap token was made, and that it was revoked. The other database has the same columns.
ALTER TABLE vault_wraps ADD COLUMN reason TEXT;
ALTER TABLE vault_wraps ADD COLUMN revoked_at INTEGER;
ALTER TABLE vault_wraps ADD COLUMN revoked_by TEXT;
