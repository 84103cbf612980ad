-- What people made of repeats of a violation: same agent, same capability, same primary reason.
-- What it says holds for violations up to through_id; without one, for those to come as well.
CREATE TABLE violation_group_triage (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  until INTEGER,
  through_id BLOB CHECK (through_id IS NULL OR length(through_id) = 16),
  changed_by TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, agent_id, attempted_capability, reason_code)
) STRICT, WITHOUT ROWID;

-- What people made of one violation; it goes before what they made of its repeats.
CREATE TABLE violation_triage (
  org_id BLOB NOT NULL CHECK (length(org_id) = 16),
  violation_id BLOB NOT NULL CHECK (length(violation_id) = 16),
  agent_id BLOB NOT NULL CHECK (length(agent_id) = 16),
  attempted_capability TEXT NOT NULL,
  reason_code TEXT NOT NULL,
  state TEXT NOT NULL,
  note TEXT NOT NULL,
  until INTEGER,
  changed_by TEXT NOT NULL,
  changed_at INTEGER NOT NULL,
  PRIMARY KEY (org_id, violation_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX violation_triage_by_agent_id_violation_id ON violation_triage (org_id, agent_id, violation_id);
