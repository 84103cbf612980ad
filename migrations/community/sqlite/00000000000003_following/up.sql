-- Those who follow the log: how far each has read, and who reads for it now.
CREATE TABLE followers (
  name TEXT NOT NULL,
  next_index INTEGER NOT NULL,
  lease_owner TEXT,
  lease_until INTEGER,
  PRIMARY KEY (name)
) STRICT;

-- Decisions by hour: of each agent, and of the whole organisation (the agent of zeros).
CREATE TABLE agent_activity (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  hour INTEGER NOT NULL,
  approved INTEGER NOT NULL,
  denied INTEGER NOT NULL,
  pending INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, hour)
) STRICT, WITHOUT ROWID;
