DROP TABLE agent_api_keys;
