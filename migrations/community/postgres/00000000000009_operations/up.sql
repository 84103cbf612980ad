-- When the audit log was last checked as a whole, by whom, and what came of it. Of the installation.
CREATE TABLE audit_verifications (
  id UUID NOT NULL,
  verified_at TIMESTAMPTZ NOT NULL,
  source TEXT NOT NULL,
  intact BOOLEAN NOT NULL,
  records BIGINT NOT NULL,
  head TEXT NOT NULL,
  findings BIGINT NOT NULL,
  PRIMARY KEY (id)
);

-- How long each class of data is kept, in days; NULL keeps it for good.
CREATE TABLE retention_settings (
  org_id UUID NOT NULL,
  decision_inputs_days BIGINT,
  violations_days BIGINT,
  audit_details_days BIGINT,
  activity_days BIGINT,
  deliveries_days BIGINT,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id)
);

-- Holds keep everything, of one agent or of the whole organisation, until they are released.
CREATE TABLE legal_holds (
  org_id UUID NOT NULL,
  id UUID NOT NULL,
  agent_id UUID,
  reason TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  released_by TEXT,
  released_at TIMESTAMPTZ,
  PRIMARY KEY (org_id, id)
);

-- How far each table has been trimmed.
CREATE TABLE retention_progress (
  org_id UUID NOT NULL,
  name TEXT NOT NULL,
  reached TEXT,
  ran_at TIMESTAMPTZ NOT NULL,
  trimmed_before TIMESTAMPTZ NOT NULL,
  changed BIGINT NOT NULL,
  PRIMARY KEY (org_id, name)
);

-- A snapshot is kept while decisions on it can be replayed. Noted about once a day while it is in use.
ALTER TABLE snapshots ADD COLUMN last_used_at TIMESTAMPTZ;
UPDATE snapshots SET last_used_at = now();

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE retention_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE retention_settings FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON retention_settings USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE legal_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE legal_holds FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON legal_holds USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE retention_progress ENABLE ROW LEVEL SECURITY;
ALTER TABLE retention_progress FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON retention_progress USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
