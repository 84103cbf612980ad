-- What threat detection found, and what became of it.
CREATE TABLE threat_findings (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB CHECK (agent_id IS NULL OR length(agent_id) = 16),
  agent_name TEXT,
  detector TEXT NOT NULL,
  subject TEXT NOT NULL,
  severity TEXT NOT NULL,
  status TEXT NOT NULL,
  response TEXT NOT NULL,
  evidence TEXT NOT NULL CHECK (json_valid(evidence)),
  count INTEGER NOT NULL,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  quiet_until INTEGER,
  reviewed_by TEXT,
  reviewed_at INTEGER,
  review_note TEXT,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX threat_findings_by_detector_subject_id ON threat_findings (org_id, detector, subject, id);
CREATE INDEX threat_findings_by_detector_id ON threat_findings (org_id, detector, id);
CREATE INDEX threat_findings_by_agent_id_id ON threat_findings (org_id, agent_id, id);
CREATE INDEX threat_findings_by_status_id ON threat_findings (org_id, status, id);
CREATE INDEX threat_findings_by_severity_id ON threat_findings (org_id, severity, id);

-- What a finding leads to; a detector without a row leads to an alert.
CREATE TABLE threat_policies (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  detector TEXT NOT NULL,
  response TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, detector)
) STRICT, WITHOUT ROWID;

-- Capabilities that nobody has a reason to ask for.
CREATE TABLE threat_honeytokens (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  capability TEXT NOT NULL,
  note TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, capability)
) STRICT, WITHOUT ROWID;

-- The networks that each agent has called from.
CREATE TABLE threat_sources (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  network TEXT NOT NULL,
  first_seen_at INTEGER NOT NULL,
  last_seen_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, network)
) STRICT, WITHOUT ROWID;

-- Restrictions of one agent until a time: each of its actions needs a person's approval meanwhile.
CREATE TABLE agent_restrictions (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, id)
) STRICT;
CREATE INDEX agent_restrictions_by_agent_id_id ON agent_restrictions (org_id, agent_id, id);
CREATE INDEX agent_restrictions_by_expires_at ON agent_restrictions (expires_at);
