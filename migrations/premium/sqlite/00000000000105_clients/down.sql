DROP TABLE vault_wraps;
DROP TABLE sdk_namespaces;
