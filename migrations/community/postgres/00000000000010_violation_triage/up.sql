-- What people made of repeats of a violation: same agent, same capability, same primary reason.
-- What it says holds for violations up to through_id; without one, for those to come as well.
CREATE TABLE violation_group_triage (
  org_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  until TIMESTAMPTZ,
  through_id UUID,
  changed_by TEXT NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, agent_id, attempted_capability, reason_code)
);

-- What people made of one violation; it goes before what they made of its repeats.
CREATE TABLE violation_triage (
  org_id UUID NOT NULL,
  violation_id UUID NOT NULL,
  agent_id UUID NOT NULL,
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  until TIMESTAMPTZ,
  changed_by TEXT NOT NULL,
  changed_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (org_id, violation_id)
);
CREATE INDEX violation_triage_by_agent_id_violation_id ON violation_triage (org_id, agent_id, violation_id);

-- As for the other tables: the second line behind the tenant in every query.
ALTER TABLE violation_group_triage ENABLE ROW LEVEL SECURITY;
ALTER TABLE violation_group_triage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON violation_group_triage USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
ALTER TABLE violation_triage ENABLE ROW LEVEL SECURITY;
ALTER TABLE violation_triage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON violation_triage USING (current_setting('aim.organization', true) = '*'
  OR org_id = NULLIF(NULLIF(current_setting('aim.organization', true), ''), '*')::uuid);
