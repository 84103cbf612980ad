DROP TABLE agent_activity;
DROP TABLE followers;
