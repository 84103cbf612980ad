DROP TABLE vault_approvals_used;
DROP TABLE vault_value_digests;
DROP TABLE vault_versions;
DROP TABLE vault_tags;
DROP TABLE vault_secrets;
DROP TABLE vault_keys;
DROP TABLE vault_roots;
