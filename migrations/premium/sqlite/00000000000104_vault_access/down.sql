DROP TABLE vault_access_settings;
DROP TABLE vault_honeytokens;
DROP TABLE vault_access_hours;
DROP TABLE vault_access_pairs;
DROP TABLE vault_accesses;
