-- Those who follow the log: how far each has read, and who reads for it now.
CREATE TABLE followers (
  name TEXT NOT NULL,
  next_index BIGINT NOT NULL,
  lease_owner TEXT,
  lease_until TIMESTAMPTZ,
  PRIMARY KEY (name)
);

-- Decisions by hour: of each agent, and of the whole organisation (the agent of zeros).
CREATE TABLE agent_activity (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  hour TIMESTAMPTZ NOT NULL,
  approved BIGINT NOT NULL,
  denied BIGINT NOT NULL,
  pending BIGINT NOT NULL,
  refused BIGINT NOT NULL,
  PRIMARY KEY (org_id, agent_id, hour)
);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE agent_activity ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_activity FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_activity USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
