-- What threat detection found, and what became of it.
CREATE TABLE threat_findings (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID,
  agent_name TEXT,
  detector TEXT NOT NULL,
  subject TEXT NOT NULL,
  severity TEXT NOT NULL,
  status TEXT NOT NULL,
  response TEXT NOT NULL,
  evidence JSONB NOT NULL,
  count BIGINT NOT NULL,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  quiet_until TIMESTAMPTZ,
  reviewed_by TEXT,
  reviewed_at TIMESTAMPTZ,
  review_note TEXT,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX threat_findings_by_detector_subject_id ON threat_findings (org_id, detector, subject, id);
CREATE INDEX threat_findings_by_detector_id ON threat_findings (org_id, detector, id);
CREATE INDEX threat_findings_by_agent_id_id ON threat_findings (org_id, agent_id, id);
CREATE INDEX threat_findings_by_status_id ON threat_findings (org_id, status, id);
CREATE INDEX threat_findings_by_severity_id ON threat_findings (org_id, severity, id);

-- What a finding leads to; a detector without a row leads to an alert.
CREATE TABLE threat_policies (
  org_id UUID NOT NULL,
  detector TEXT NOT NULL,
  response TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, detector)
);

-- Capabilities that nobody has a reason to ask for.
CREATE TABLE threat_honeytokens (
  org_id UUID NOT NULL,
  capability TEXT NOT NULL,
  note TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, capability)
);

-- The networks that each agent has called from.
CREATE TABLE threat_sources (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  network TEXT NOT NULL,
  first_seen_at TIMESTAMPTZ NOT NULL,
  last_seen_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, agent_id, network)
);

-- Restrictions of one agent until a time: each of its actions needs a person's approval meanwhile.
CREATE TABLE agent_restrictions (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID NOT NULL,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  expires_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX agent_restrictions_by_agent_id_id ON agent_restrictions (org_id, agent_id, id);
CREATE INDEX agent_restrictions_by_expires_at ON agent_restrictions (expires_at);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE threat_findings ENABLE ROW LEVEL SECURITY;
ALTER TABLE threat_findings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON threat_findings USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE threat_policies ENABLE ROW LEVEL SECURITY;
ALTER TABLE threat_policies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON threat_policies USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE threat_honeytokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE threat_honeytokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON threat_honeytokens USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE threat_sources ENABLE ROW LEVEL SECURITY;
ALTER TABLE threat_sources FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON threat_sources USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE agent_restrictions ENABLE ROW LEVEL SECURITY;
ALTER TABLE agent_restrictions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON agent_restrictions USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
