ALTER TABLE vault_secrets DROP COLUMN provider;
DROP TABLE vault_refreshes;
DROP TABLE vault_history;
