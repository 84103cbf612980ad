DROP TABLE vault_reveals;
DROP TABLE vault_reveal_settings;
ALTER TABLE agent_api_keys DROP COLUMN retires_at;
ALTER TABLE agent_api_keys DROP COLUMN rotated_from;
ALTER TABLE agent_api_keys DROP COLUMN last_used_from;
ALTER TABLE agent_api_keys DROP COLUMN addresses;
ALTER TABLE agent_api_keys DROP COLUMN secret_paths;
