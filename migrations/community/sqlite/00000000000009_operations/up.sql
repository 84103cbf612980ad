-- When the audit log was last checked as a whole, by whom, and what came of it. Of the installation.
CREATE TABLE audit_verifications (
  id BLOB NOT NULL CHECK (length(id) = 16),
  verified_at INTEGER NOT NULL,
  source TEXT NOT NULL,
  intact INTEGER NOT NULL CHECK (intact IN (0, 1)),
  records INTEGER NOT NULL,
  head TEXT NOT NULL,
  findings INTEGER NOT NULL,
  PRIMARY KEY (id)
) STRICT, WITHOUT ROWID;

-- How long each class of data is kept, in days; NULL keeps it for good.
CREATE TABLE retention_settings (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  decision_inputs_days INTEGER,
  violations_days INTEGER,
  audit_details_days INTEGER,
  activity_days INTEGER,
  deliveries_days INTEGER,
  updated_by TEXT NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (org_id)
) STRICT, WITHOUT ROWID;

-- Holds keep everything, of one agent or of the whole organisation, until they are released.
CREATE TABLE legal_holds (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  id BLOB NOT NULL CHECK (length(id) = 16),
  agent_id BLOB CHECK (agent_id IS NULL OR length(agent_id) = 16),
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  released_by TEXT,
  released_at INTEGER,
  PRIMARY KEY (org_id, id)
) STRICT, WITHOUT ROWID;

-- How far each table has been trimmed.
CREATE TABLE retention_progress (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  name TEXT NOT NULL,
  reached TEXT,
  ran_at INTEGER NOT NULL,
  trimmed_before INTEGER NOT NULL,
  changed INTEGER NOT NULL,
  PRIMARY KEY (org_id, name)
) STRICT, WITHOUT ROWID;

-- A snapshot is kept while decisions on it can be replayed. Noted about once a day while it is in use.
ALTER TABLE snapshots ADD COLUMN last_used_at INTEGER;
UPDATE snapshots SET last_used_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER);
