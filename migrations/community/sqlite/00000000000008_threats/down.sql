DROP TABLE agent_restrictions;
DROP TABLE threat_sources;
DROP TABLE threat_honeytokens;
DROP TABLE threat_policies;
DROP TABLE threat_findings;
